//! Lists, page by page.
//!
//! A cursor holds where the page ended and what the list was asked for, so that it can be followed by itself. It says
//! nothing that the answer it came with does not say, and gives no right: every page is authorised anew.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::payload::{has_nul, pairs, read_query};
use super::{Api, Problem};

/// The first form of cursors. Another form gets another number, and both are read for a while.
const VERSION: u8 = 1;
/// Entries of a page, unless said otherwise.
const LIMIT_DEFAULT: u16 = 20;
/// Entries of a page at most.
const LIMIT_MAX: u16 = 200;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    /// There are more behind these.
    has_more: bool,
    /// For the parameter `cursor` of the next request; null on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// The parameters that every list has, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the names and comments are the documentation; Listing reads the parameters")]
pub(crate) struct PageParams {
    /// Entries of a page at most.
    #[param(minimum = 1, maximum = 200, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before. It stands for the filters too; those given beside it must be the same.
    #[param(max_length = 4096)]
    cursor: Option<String>,
}

/// What a list is asked for: the filters `F`, and the place `A` behind which the page begins.
#[derive(Debug)]
pub(crate) struct Listing<F, A> {
    pub(crate) filter: F,
    pub(crate) after: Option<A>,
    limit: u16,
}

#[derive(Serialize, Deserialize)]
struct Cursor<'a, F, A> {
    #[serde(rename = "v")]
    version: u8,
    /// The path of the list.
    #[serde(rename = "l")]
    list: Cow<'a, str>,
    #[serde(rename = "f")]
    filter: F,
    #[serde(rename = "a")]
    after: A,
}

#[derive(Deserialize)]
struct Own {
    limit: Option<u16>,
    cursor: Option<String>,
}

impl<F, A> Listing<F, A>
where
    F: Serialize,
    A: Serialize,
{
    /// How many rows to read: one more than are shown, to know whether there are more.
    pub(crate) fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page, of the rows that were read.
    pub(crate) fn page<R, T>(
        &self,
        path: &str,
        mut rows: Vec<R>,
        place: impl Fn(&R) -> A,
        show: impl Fn(R) -> T,
    ) -> List<T> {
        let has_more = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        let last = rows.last().filter(|_| has_more).map(place);
        let next_cursor = last.and_then(|after| {
            let cursor = Cursor { version: VERSION, list: path.into(), filter: &self.filter, after };
            serde_json::to_vec(&cursor).ok().map(|json| BASE64URL_NOPAD.encode(&json))
        });
        List { data: rows.into_iter().map(show).collect(), has_more, next_cursor }
    }
}

impl<F, A> Listing<F, A>
where
    F: Serialize,
    A: Serialize + PartialEq,
{
    /// The page, of all the rows that there are: for lists that are short, and read as a whole. `place` is another for each
    /// row. Where a page ended at a row that has gone since, nothing says which come next: then it is begun anew.
    pub(crate) fn page_of<R, T>(
        &self,
        path: &str,
        all: Vec<R>,
        place: impl Fn(&R) -> A,
        show: impl Fn(R) -> T,
    ) -> Result<List<T>, Problem> {
        let mut rows = all;
        if let Some(after) = &self.after {
            let at = rows.iter().position(|row| place(row) == *after);
            let gone =
                || Problem::invalid("cursor", "what the page ended with has gone: begin without a cursor");
            rows.drain(..=at.ok_or_else(gone)?);
        }
        Ok(self.page(path, rows, place, show))
    }
}

/// For lists without filters.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

impl<F, A> FromRequestParts<Api> for Listing<F, A>
where
    F: DeserializeOwned + PartialEq + Send,
    A: DeserializeOwned + Send,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let (own, filters): (Vec<_>, Vec<_>) =
            pairs(parts)?.into_iter().partition(|(name, _)| ["limit", "cursor"].contains(&name.as_str()));
        let own: Own = read_query(&own)?;
        let limit = own.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::invalid("limit", format!("give a number from 1 to {LIMIT_MAX}")));
        }
        let filter: F = read_query(&filters)?;
        let Some(cursor) = own.cursor else { return Ok(Self { filter, after: None, limit }) };
        let cursor = read_cursor::<F, A>(parts.uri.path(), &cursor).ok_or_else(|| {
            Problem::invalid("cursor", "give the next_cursor of the page before, of the same list")
        })?;
        if !filters.is_empty() && filter != cursor.filter {
            return Err(Problem::invalid("cursor", "the cursor is of a list with other filters"));
        }
        Ok(Self { filter: cursor.filter, after: Some(cursor.after), limit })
    }
}

fn read_cursor<F, A>(path: &str, text: &str) -> Option<Cursor<'static, F, A>>
where
    F: DeserializeOwned,
    A: DeserializeOwned,
{
    let json = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    if has_nul(&json) {
        return None;
    }
    let cursor: Cursor<'static, F, A> = serde_json::from_slice(&json).ok()?;
    (cursor.version == VERSION && cursor.list == path).then_some(cursor)
}
