//! Who asks through proxies of ours, by `X-Forwarded-For`.

use std::net::IpAddr;

use axum::http::HeaderMap;

/// What the outermost of so many proxies saw. Each adds, on the right, who asked it; what stands further left is anybody's
/// invention. `None` without proxies, and when it is not there.
pub(crate) fn forwarded_for(headers: &HeaderMap, proxies: u8) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let addresses: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let place = addresses.len().checked_sub(usize::from(proxies))?;
    if proxies == 0 { None } else { addresses.get(place)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nobody can choose where they come from; method: the same header behind no, one and three proxies.
    #[test]
    fn proxies() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "192.0.2.9, 192.0.2.1".parse().unwrap());
        headers.append("x-forwarded-for", "192.0.2.2".parse().unwrap());
        let seen = |proxies| forwarded_for(&headers, proxies).map(|address| address.to_string());
        assert_eq!(seen(0), None);
        assert_eq!(seen(1).as_deref(), Some("192.0.2.2"));
        assert_eq!(seen(2).as_deref(), Some("192.0.2.1"));
        assert_eq!(seen(4), None);
    }
}
