//! Parameters of a query or a form.

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::refusal::Refusal;

/// Most parameters of a request.
const PARAMS_MAX: usize = 50;

/// Names with one text each.
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a query or the body of a form. A parameter that comes twice with the same text is one: clients put what
    /// they know by themselves behind what the site tells them. With different texts it has no meaning.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut found = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()).take(PARAMS_MAX) {
            let value = value.into_owned();
            if *found.entry(name.into_owned()).or_insert_with(|| value.clone()) != value {
                return Err(Refusal::Client("it says the same thing twice, in different ways"));
            }
        }
        Ok(Self(found))
    }

    /// A parameter, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}
