//! Host names of sites: what a client may send as SNI, or a pattern for that.

/// Reads a host name, or one with `*.` in front, which stands for one label. The result is in lower case.
pub fn parse_host(text: &str) -> Result<String, String> {
    let host = text.to_ascii_lowercase();
    let labels = host.strip_prefix("*.").unwrap_or(&host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Clients send no SNI for an address, so a site cannot be chosen by it. Only addresses end with a number.
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_address = last.bytes().all(|octet| octet.is_ascii_digit());
    if host.len() <= 253 && labels.split('.').all(is_label) && !is_address {
        Ok(host)
    } else {
        Err("give a host name such as chat.example.org or *.example.org".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only what can arrive as SNI is taken; method: good and bad names.
    #[test]
    fn hosts() {
        for good in ["localhost", "a.example.org", "*.example.org", "x--y.example.org", "1.example.org"] {
            assert_eq!(parse_host(good), Ok(good.to_owned()));
        }
        assert_eq!(parse_host("A.Example.ORG").as_deref(), Ok("a.example.org"));
        let long = "a.".repeat(130);
        for bad in ["", "*", "*.", "a..b", "-a.b", "a-.b", "a b", "ä.org", "127.0.0.1", "::1", "a.*.b", &long]
        {
            assert!(parse_host(bad).is_err(), "{bad}");
        }
    }
}
