//! What the JSON object at the front of a message (its datahead) says of its attachments: in `attach`, a list of objects
//! with `name` and `size`. The widely used client writes it so, and finds the attachments in the data by it; the server
//! knows no more of them.

use super::fields::{elements, fields, is_field};

/// An attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name, with what the client puts before it.
    pub name: String,
    /// Its size.
    pub octets: u64,
}

impl Attachment {
    /// The ending of its name, without the dot.
    pub fn ending(&self) -> Option<&str> {
        let file = self.name.rsplit(['/', '\\', ':']).next()?;
        file.rsplit_once('.').map(|(_, ending)| ending.trim()).filter(|ending| !ending.is_empty())
    }
}

/// The attachments that a datahead names. `None` when clients may read something else than we do. Of names and sizes
/// that an attachment has several times, each makes an attachment of its own: nobody knows which one a client takes.
pub fn attachments(front: &[u8]) -> Option<Vec<Attachment>> {
    let mut attachments = Vec::new();
    for (_, list) in fields(front)?.0.iter().filter(|(field, _)| is_field(field, "attach")) {
        for element in elements(list)? {
            let inner = if element.get() == "null" { None } else { Some(fields(element.get().as_bytes())?) };
            let (mut names, mut sizes) = (Vec::new(), Vec::new());
            for (field, value) in inner.iter().flat_map(|inner| &inner.0) {
                if is_field(field, "name") {
                    names.push(serde_json::from_str::<Option<String>>(value.get()).ok()?.unwrap_or_default());
                } else if is_field(field, "size") {
                    let size = serde_json::from_str::<Option<i64>>(value.get()).ok()?.unwrap_or_default();
                    sizes.push(u64::try_from(size).ok()?);
                }
            }
            for index in 0..names.len().max(sizes.len()).max(1) {
                let name = names.get(index).or(names.first()).cloned().unwrap_or_default();
                let octets = sizes.get(index).or(sizes.first()).copied().unwrap_or_default();
                attachments.push(Attachment { name, octets });
            }
        }
    }
    Some(attachments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Vec<(String, u64)>> {
        let read = attachments(json.as_bytes())?;
        Some(read.into_iter().map(|attachment| (attachment.name, attachment.octets)).collect())
    }

    /// Goal: attachments are found however their fields are written and however often they come; method: the form of the
    /// widely used client, other cases, repetitions, nulls.
    #[test]
    fn all_attachments() {
        let list = |list: &[(&str, u64)]| {
            Some(list.iter().map(|(name, octets)| ((*name).to_owned(), *octets)).collect::<Vec<_>>())
        };
        let usual = r#"{"Alias":"Ann","Attach":[{"Name":"u:a.pdf","Size":5},{"Name":"f:form","Ffn":"x"}]}"#;
        assert_eq!(read(usual), list(&[("u:a.pdf", 5), ("f:form", 0)]));
        let odd = r#"{"attach":[{"name":"a","NAME":"b.exe","\u017fize":7}],"ATTACH":[null],"attach":null,"x":{"attach":[{}]}}"#;
        assert_eq!(read(odd), list(&[("a", 7), ("b.exe", 7), ("", 0)]));
        let sizes = r#"{"attach":[{"name":"a","size":1,"Size":900}]}"#;
        assert_eq!(read(sizes), list(&[("a", 1), ("a", 900)]));
        assert_eq!(read("{}"), list(&[]));
    }

    /// Goal: what cannot be read is not taken for a message without attachments; method: broken and other JSON.
    #[test]
    fn unreadable() {
        for json in [
            "",
            "[]",
            "{} {}",
            r#"{"attach":5}"#,
            r#"{"attach":[5]}"#,
            r#"{"attach":[{"size":-1}]}"#,
            r#"{"attach":[{"size":1.5}]}"#,
            r#"{"attach":[{"name":5}]}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
