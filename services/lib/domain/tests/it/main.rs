//! Properties of the words and rules: what holds for all ids, times, aliases and lists of recipients.
//! Examples are beside the code; nothing here may depend on one.

mod aliases;
mod groups;
mod ids;
mod recipients;
mod sites;
