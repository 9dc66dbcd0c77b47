//! Checks what has to hold for all values: coding both ways, and splitting a message into a row and joining it again.
//! It must never depend on a particular encoding; that is in the golden files.

use proptest::prelude::*;
use tmtp_contract::{Body, MessageRecord, ReceiptPack, TracePack};

use crate::cases::Value;
use crate::generate::{message, steps, value};

proptest! {
    /// Goal: nothing is lost on the way. Method: encode any value and decode it again.
    #[test]
    fn values_come_back(value in value()) {
        let octets = value.encode();
        prop_assert_eq!(value.decode_alike(&octets).unwrap(), value);
    }

    /// Goal: a row gives back the message that it was made of. Method: split any message, look at the halves, send the
    /// record through its encoding, and join them.
    #[test]
    fn messages_come_back_from_rows(message in message()) {
        let (record, inline) = MessageRecord::split(&message);
        prop_assert!(!matches!(record.message.body, Body::Inline(_)), "the inline body has its own column");
        prop_assert_eq!(inline.as_ref().map(bytes::Bytes::len), match &message.body {
            Body::Inline(octets) => Some(octets.len()),
            Body::Empty | Body::Stored(_) => None,
        });
        let row = Value::Message(record.clone());
        prop_assert_eq!(row.decode_alike(&row.encode()).unwrap(), row);
        prop_assert_eq!(record.join(inline), message);
    }

    /// Goal: each message of a pack has its own steps, in their order. Method: pack any steps, few enough of each message
    /// to be listed, and look for each message.
    #[test]
    fn steps_come_back(steps in steps()) {
        let pack = TracePack::new(&steps);
        prop_assert_eq!(pack.steps().collect::<Vec<_>>(), steps.clone());
        for (id, _) in &steps {
            let own = steps.iter().filter(|(of, _)| of == id).map(|(_, step)| *step);
            prop_assert_eq!(pack.steps_of(*id), own.collect::<Vec<_>>());
        }
    }

    /// Goal: a row of receipts that was cut loses whole receipts only. Method: unpack any octets, pack the result, and
    /// compare with the octets up to the last full record.
    #[test]
    fn receipts_are_cut_at_records(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let receipts = ReceiptPack::unpack(&octets);
        prop_assert_eq!(receipts.len(), octets.len() / 32);
        prop_assert_eq!(ReceiptPack::pack(receipts.iter()), &octets[..octets.len() / 32 * 32]);
    }
}
