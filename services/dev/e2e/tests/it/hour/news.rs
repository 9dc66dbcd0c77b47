//! What the server tells by itself (aliases, devices, groups, presence lists, logins): how often each device has to be told
//! it. Messages of the same words cannot be told apart, so they are counted.

use std::collections::BTreeMap;

use super::books::{Books, Due, Span};

/// Something that was asked for, and of which others are told.
#[derive(Debug, Clone)]
pub struct News {
    /// What makes the message recognisable.
    pub words: String,
    /// The device that asked.
    pub author: usize,
    pub span: Span,
    /// Nothing came of it.
    pub refused: bool,
    /// Nobody knows whether anything came of it.
    pub unsure: bool,
    /// How often it was asked again on another link. With a link a presence list may end, and is then changed once more.
    pub again: u64,
    /// Users who are told of it besides the author's.
    pub users: Vec<usize>,
    /// The group whose members are told.
    pub group: Option<usize>,
}

impl Books {
    /// Something is asked for that others will be told, the asking device, too.
    pub fn announce(
        &mut self,
        words: String,
        author: usize,
        users: Vec<usize>,
        group: Option<usize>,
    ) -> usize {
        let span = self.now();
        self.news.push(News { words, author, span, refused: false, unsure: false, again: 0, users, group });
        self.news.len() - 1
    }

    /// It was granted, or refused.
    pub fn announced(&mut self, number: usize, refused: bool) {
        self.news[number].span.ended = Some(self.tick());
        self.news[number].refused = refused;
    }

    /// It is asked again, on another link.
    pub fn announce_again(&mut self, number: usize) {
        self.news[number].again += 1;
    }

    /// It may have happened.
    pub fn doubted(&mut self, number: usize) {
        self.news[number].unsure = true;
    }

    fn is_due(&self, number: usize, news: &News) -> Due {
        let node = self.node_of(number);
        if news.refused {
            return Due::Never;
        }
        let named = self.user_of(news.author) == node.user || news.users.contains(&node.user);
        let due = match news.group {
            _ if named => Due::Must,
            Some(group) => self.was_joined(group, node.user, news.span),
            None => Due::Never,
        };
        // A device that was made meanwhile or later gets what another was owed still.
        let is_unclear =
            news.unsure || news.span.ended.is_none() || !node.born.is_over_before(news.span.began);
        if due == Due::Must && is_unclear { Due::May } else { due }
    }

    /// Devices that were told something too seldom or too often.
    pub fn miscounted(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for number in 0..self.count() {
            let mut due: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
            for news in &self.news {
                let (least, most) = due.entry(&news.words).or_default();
                let due = self.is_due(number, news);
                *least += u64::from(due == Due::Must);
                let again = if news.words.starts_with("ohiedit ") { news.again } else { 0 };
                *most += if due == Due::Never { 0 } else { 1 + again };
            }
            let told = &self.node_of(number).told;
            due.extend(
                told.keys()
                    .filter(|words| !due.contains_key(words.as_str()))
                    .map(|words| (words.as_str(), (0, 0)))
                    .collect::<Vec<_>>(),
            );
            for (words, (least, most)) in due {
                let count = told.get(words).copied().unwrap_or(0);
                if !(least..=most).contains(&count) {
                    differences.push(format!(
                        "node {number} was told {count} times, not {least} to {most}: {words}"
                    ));
                }
            }
        }
        differences
    }
}
