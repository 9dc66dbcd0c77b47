//! What is done with random input: the bodies of the fuzz targets, which tests run over the inputs that are kept. A body
//! takes any octets and panics when something is wrong.

mod bounds;
mod decoder;
mod frames;
mod session;

use arbitrary::{Arbitrary, Unstructured};

pub use bounds::run as bounds;
pub use decoder::run as decoder;
pub use frames::run as frames;
pub use session::run as session;

/// What these octets stand for. `None` when they are too few.
fn read<'o, T: Arbitrary<'o>>(octets: &'o [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(octets)).ok()
}
