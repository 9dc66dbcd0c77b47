//! Chains of an authority of our own, good ones and every way to get it wrong.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, date_time_ymd,
};

use super::*;

/// 1 June 2026.
const NOW: i64 = 1_780_272_000_000;

/// Somebody who issues certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 8, 1);
    params
}

impl Authority {
    fn root() -> Self {
        Self::new("Root", None, |_| ())
    }

    fn new(name: &str, by: Option<&Self>, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = match by {
            Some(by) => params.signed_by(&key, &by.issuer),
            None => params.self_signed(&key),
        };
        Self { pem: made.unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = params("server", names);
        change(&mut params);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn of(domains: &[&str]) -> Vec<String> {
    domains.iter().map(|&domain| domain.to_owned()).collect()
}

fn checked(chain: &[&str], key: &str, domains: &[&str]) -> Checked {
    check(&chain.join("\n"), key, &of(domains), NOW).unwrap().0
}

fn refused(chain: &[&str], key: &str) -> Refusal {
    check(&chain.join("\n"), key, &of(&["a.example"]), NOW).map(|(checked, _)| checked).unwrap_err()
}

/// Goal: a good chain is taken, with what is good to know; method: one that covers all, one that covers some and more, one
/// with its root, one that ends soon.
#[test]
fn good_chains() {
    let root = Authority::root();
    let middle = Authority::new("Middle", Some(&root), |_| ());
    let (own, key) = middle.issue(&["A.example", "*.b.example"], |_| ());
    let good = checked(&[&own, &middle.pem], &key, &["a.example", "x.b.example"]);
    assert_eq!(good.names, ["*.b.example", "a.example"]);
    assert_eq!((good.issuer.as_str(), good.chain.len(), &good.warnings), ("CN=Middle", 2, &vec![]));
    assert_eq!(good.not_after - good.not_before, 212 * DAY_MS);

    let some = checked(&[&own, &middle.pem, &root.pem], &key, &["a.example", "c.example"]);
    let expected = [
        Warning::Uncovered(of(&["c.example"])),
        Warning::Foreign(of(&["*.b.example"])),
        Warning::RootIncluded,
    ];
    assert_eq!(warnings(&good.names, &of(&["a.example"]), NOW, NOW)[1..], [Warning::Expired]);
    assert_eq!(some.warnings, expected);

    let (own, key) = root.issue(&["a.example"], |params| params.not_after = date_time_ymd(2026, 6, 5));
    let soon = checked(&[&own, &root.pem], &key, &["a.example"]);
    assert_eq!(soon.warnings, [Warning::ExpiresSoon(4), Warning::RootIncluded]);
}

/// Goal: a certificate that is issued by itself serves, with a warning; method: one, as authority and not.
#[test]
fn issued_by_itself() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = params("self", &["a.example"]);
        params.is_ca = is_ca;
        let own = params.self_signed(&key).unwrap().pem();
        let good = checked(&[&own], &key.serialize_pem(), &["a.example"]);
        assert_eq!(good.warnings, [Warning::SelfSigned]);
    }
}

/// Goal: a chain that clients could not follow is refused, saying where it breaks; method: a missing issuer, a wrong
/// order, a gap, another authority of the same name, an issuer that is none, an authority in the first place.
#[test]
fn broken_chains() {
    let root = Authority::root();
    let middle = Authority::new("Middle", Some(&root), |_| ());
    let lower = Authority::new("Lower", Some(&middle), |_| ());
    let (own, key) = lower.issue(&["a.example"], |_| ());
    checked(&[&own, &lower.pem, &middle.pem], &key, &["a.example"]);
    assert_eq!(refused(&[&own], &key), Refusal::IssuerMissing("CN=Lower".into()));
    assert_eq!(refused(&[&own, &middle.pem, &lower.pem], &key), Refusal::Order(1));
    assert_eq!(refused(&[&own, &lower.pem, &root.pem], &key), Refusal::Order(2));
    assert_eq!(refused(&[&lower.pem, &own], &key), Refusal::Authority);

    let double = Authority::new("Lower", Some(&middle), |_| ());
    assert_eq!(refused(&[&own, &double.pem], &key), Refusal::Signature(1));
    let pretender = Authority::new("Pretender", Some(&root), |params| params.is_ca = IsCa::NoCa);
    let (own, key) = pretender.issue(&["a.example"], |_| ());
    assert_eq!(refused(&[&own, &pretender.pem, &root.pem], &key), Refusal::NotAnAuthority(2));
}

/// Goal: what is over or not yet begun is refused, of the issuers too; method: each of them.
#[test]
fn out_of_time() {
    let root = Authority::root();
    let (own, key) = root.issue(&["a.example"], |params| params.not_after = date_time_ymd(2026, 5, 30));
    assert_eq!(refused(&[&own, &root.pem], &key), Refusal::Expired(1));
    let (own, key) = root.issue(&["a.example"], |params| params.not_before = date_time_ymd(2026, 6, 3));
    assert_eq!(refused(&[&own, &root.pem], &key), Refusal::NotYet(1));
    let old = Authority::new("Old", Some(&root), |params| params.not_after = date_time_ymd(2026, 5, 30));
    let (own, key) = old.issue(&["a.example"], |_| ());
    assert_eq!(refused(&[&own, &old.pem], &key), Refusal::Expired(2));
}

/// Goal: the key must be the certificate's, and be there; method: another one, none, junk, one with a password.
#[test]
fn wrong_keys() {
    let root = Authority::root();
    let (own, key) = root.issue(&["a.example"], |_| ());
    let (_, other) = root.issue(&["a.example"], |_| ());
    let chain = [own.as_str(), root.pem.as_str()];
    assert_eq!(refused(&chain, &other), Refusal::OtherKey);
    assert_eq!(refused(&chain, ""), Refusal::NoKey);
    assert_eq!(refused(&chain, &own), Refusal::NoKey);
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(&chain, junk), Refusal::UnusableKey);
    let locked = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(refused(&chain, &locked), Refusal::EncryptedKey);
    for refusal in [Refusal::OtherKey, Refusal::NoKey] {
        assert_eq!(refusal.param(), "private_key");
    }
}

/// Goal: texts that are no chain are refused; method: nothing, junk, a cut one, too many, too much.
#[test]
fn unreadable_texts() {
    let root = Authority::root();
    let (own, key) = root.issue(&["a.example"], |_| ());
    assert_eq!(refused(&[], &key), Refusal::NoCertificate);
    assert_eq!(refused(&["junk"], &key), Refusal::NoCertificate);
    assert_eq!(refused(&[&own[..own.len() / 2]], &key), Refusal::Unreadable(1));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(&[&own, junk], &key), Refusal::Unreadable(2));
    assert_eq!(refused(&[own.as_str(); CHAIN_MAX + 1], &key), Refusal::TooMany);
    assert_eq!(refused(&[&" ".repeat(PEM_OCTETS_MAX + 1)], &key), Refusal::TooLarge);
}

/// Goal: a certificate that is of no use to the site is refused; method: other names, none, one for clients only.
#[test]
fn of_no_use() {
    let root = Authority::root();
    let (own, key) = root.issue(&["b.example", "*.a.example"], |_| ());
    let names = of(&["*.a.example", "b.example"]);
    assert_eq!(refused(&[&own, &root.pem], &key), Refusal::CoversNone(names));
    let (own, key) = root.issue(&[], |_| ());
    assert_eq!(refused(&[&own, &root.pem], &key), Refusal::NoNames);
    let (own, key) = root.issue(&["a.example"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(refused(&[&own, &root.pem], &key), Refusal::NotForServers);
}

/// Goal: keys that clients refuse are refused here; method: a certificate with an RSA key of 1024 bits, made by hand
/// because no library makes one any more.
#[test]
fn short_keys() {
    let own = include_str!("testdata/rsa1024.pem").to_owned();
    let (_, key) = Authority::root().issue(&["a.example"], |_| ());
    let later = NOW + 400 * DAY_MS;
    assert_eq!(check(&own, &key, &of(&["a.example"]), later).unwrap_err(), Refusal::ShortKey(1, 1_024));
}
