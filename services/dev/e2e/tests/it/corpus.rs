//! The inputs that the fuzz targets have collected, among them all that once failed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use tmtp_e2e::random;

const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus.tar.gz");
/// Takes an input, and panics when something is wrong.
type Body = fn(&[u8]);
const TARGETS: [(&str, Body); 4] = [
    ("decoder", random::decoder),
    ("frames", random::frames),
    ("session", random::session),
    ("bounds", random::bounds),
];
/// Changed inputs of each target, unless more are asked for.
const CHANGED: u64 = 300;
/// For how many seconds to go on with each target.
const SECONDS: &str = "POSTERN_RANDOM_SECONDS";
/// No longer than what libFuzzer makes.
const OCTETS_MAX: usize = 4_096;

/// What is kept for a target.
fn kept(target: &str) -> Result<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let unpacked = Command::new("tar").args(["-xzf", ARCHIVE, "-C"]).arg(folder.path()).status()?;
    ensure!(unpacked.success(), "tar ends with {unpacked}");
    let mut paths: Vec<PathBuf> = Vec::new();
    for input in fs::read_dir(folder.path().join("corpus").join(target)).context(target.to_owned())? {
        paths.push(input?.path());
    }
    paths.sort();
    ensure!(paths.len() > 100, "only {} inputs of {target}", paths.len());
    paths.iter().map(|path| Ok(fs::read(path)?)).collect()
}

/// Runs a target; an input that fails is written to a file that can be added to the archive.
fn run(target: &str, body: Body, octets: &[u8]) -> Result<()> {
    if std::panic::catch_unwind(|| body(octets)).is_err() {
        let (_, path) = tempfile::Builder::new().prefix(target).tempfile()?.keep()?;
        fs::write(&path, octets)?;
        bail!("{target} fails with {}", path.display());
    }
    Ok(())
}

/// Goal: what random input has found stays mended; method: run the body of each target over all inputs that are kept.
#[test]
fn kept_inputs_do_no_harm() -> Result<()> {
    for (target, body) in TARGETS {
        for octets in kept(target)? {
            run(target, body, &octets)?;
        }
    }
    Ok(())
}

/// Goal: nor does what is like them; method: change kept inputs at random, some hundred times, or for as long as is asked
/// for. The seed is shown.
#[test]
fn changed_inputs_do_no_harm() -> Result<()> {
    let seconds = std::env::var(SECONDS).map_or_else(|_| Ok(0), |seconds| seconds.parse())?;
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for (target, body) in TARGETS {
        let kept = kept(target)?;
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut count = 0;
        while count < CHANGED || Instant::now() < until {
            run(target, body, &changed(&mut rng, &kept)).with_context(|| format!("seed {seed}"))?;
            count += 1;
        }
        println!("{target}: {count} inputs, seed {seed}");
    }
    Ok(())
}

/// One of the inputs, changed in a few places, partly to what others are there.
fn changed(rng: &mut Rng, kept: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = kept[rng.usize(..kept.len())].clone();
    for _ in 0..rng.usize(1..8) {
        let place = rng.usize(..=octets.len());
        let other = &kept[rng.usize(..kept.len())];
        let begin = rng.usize(..=other.len());
        let end = (begin + rng.usize(..64)).min(other.len());
        match rng.u8(..5) {
            0 => octets.insert(place, rng.u8(..)),
            1 => octets.extend_from_slice(&other[begin..]),
            2 => octets.truncate(place.max(1)),
            3 => _ = octets.splice(place..place, other[begin..end].iter().copied()),
            _ => {
                if let Some(octet) = octets.get_mut(place) {
                    *octet = rng.u8(..);
                }
            }
        }
    }
    octets.truncate(OCTETS_MAX);
    octets
}
