//! The DNS messages that are needed, byte by byte: a question for a zone (RFC 1035), the adding and removing of a TXT record (RFC 2136), and
//! the signature on both ways (RFC 8945, HMAC-SHA256).
//!
//! ```text
//! header    id 2 │ flags 2 │ four counts of 2: question or zone, answer or prerequisite, authority or update, additional
//! question  name │ type 2 │ class 2
//! record    name │ type 2 │ class 2 │ TTL 4 │ length 2 │ data
//! name      (length 1 │ label)* │ 0, or a pointer (two high bits set) to an earlier one
//! TSIG data algorithm's name │ time 6 │ fudge 2 │ MAC length 2 │ MAC │ original id 2 │ error 2 │ other length 2 │ other
//! ```

use ring::hmac;

const HEADER: usize = 12;
/// Where the counts of updates and of additional records are.
const UPDATES_AT: usize = 8;
const ADDITIONAL_AT: usize = 10;
/// The largest message over UDP, in bytes.
pub(super) const MESSAGE_MAX: usize = 4096;
/// The largest name as it travels, and the largest label.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const TYPE_TSIG: u16 = 250;
const CLASS_IN: u16 = 1;
const CLASS_NONE: u16 = 254;
const CLASS_ANY: u16 = 255;
const OPCODE_UPDATE: u16 = 5 << 11;
const RECURSION: u16 = 1 << 8;
const IS_ANSWER: u16 = 1 << 15;
const CODE: u16 = 0x000f;
/// Seconds that a challenge's record may be remembered.
const TTL: u32 = 60;
/// Seconds by which the clocks may differ (RFC 8945 recommends this many).
const FUDGE: u16 = 300;
const ALGORITHM: &str = "hmac-sha256";
const MAC: usize = 32;

/// A name that cannot travel, or a message that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// A name or a text is too long.
    #[error("a name or value is too long")]
    TooLong,
    /// Not a message.
    #[error("the answer is no DNS message")]
    Garbled,
    /// The answer to something else.
    #[error("the answer is to another question")]
    Other,
    /// Nobody signed it, or somebody else did.
    #[error("the answer's signature is missing or wrong")]
    Signature,
}

/// What is done to a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Add,
    Remove,
}

/// A key as the signatures need it.
pub(super) struct Signing {
    name: Vec<u8>,
    key: hmac::Key,
}

impl Signing {
    pub(super) fn new(name: &str, secret: &[u8]) -> Result<Self, WireError> {
        let mut encoded = Vec::new();
        put_name(&mut encoded, name)?;
        Ok(Self { name: encoded, key: hmac::Key::new(hmac::HMAC_SHA256, secret) })
    }

    /// What is signed beside the message: everything in the TSIG record that says something.
    fn variables(&self, time: u64, fudge: u16, error: u16) -> Vec<u8> {
        let mut bytes = self.name.clone();
        put_u16(&mut bytes, CLASS_ANY);
        bytes.extend(0_u32.to_be_bytes());
        // Short and known to be fine.
        let _ = put_name(&mut bytes, ALGORITHM);
        bytes.extend(&time.to_be_bytes()[2..]);
        put_u16(&mut bytes, fudge);
        put_u16(&mut bytes, error);
        put_u16(&mut bytes, 0);
        bytes
    }
}

/// Asks which zone begins at `name`.
pub(super) fn ask_zone(id: u16, name: &str) -> Result<Vec<u8>, WireError> {
    let mut bytes = header(id, RECURSION);
    put_name(&mut bytes, name)?;
    put_u16(&mut bytes, TYPE_SOA);
    put_u16(&mut bytes, CLASS_IN);
    Ok(bytes)
}

/// Adds a TXT record to a zone, or removes the one with this value.
pub(super) fn update(
    id: u16,
    zone: &str,
    change: Change,
    name: &str,
    value: &str,
) -> Result<Vec<u8>, WireError> {
    let mut bytes = header(id, OPCODE_UPDATE);
    bytes[UPDATES_AT..UPDATES_AT + 2].copy_from_slice(&1_u16.to_be_bytes());
    put_name(&mut bytes, zone)?;
    put_u16(&mut bytes, TYPE_SOA);
    put_u16(&mut bytes, CLASS_IN);
    let (class, ttl) = match change {
        Change::Add => (CLASS_IN, TTL),
        Change::Remove => (CLASS_NONE, 0),
    };
    put_name(&mut bytes, name)?;
    put_u16(&mut bytes, TYPE_TXT);
    put_u16(&mut bytes, class);
    bytes.extend(ttl.to_be_bytes());
    let length = u8::try_from(value.len()).map_err(|_| WireError::TooLong)?;
    put_u16(&mut bytes, u16::from(length) + 1);
    bytes.push(length);
    bytes.extend(value.as_bytes());
    Ok(bytes)
}

/// Signs a message, and gives the signature, which the answer's covers too.
pub(super) fn sign(message: &mut Vec<u8>, signing: &Signing, time: u64) -> [u8; MAC] {
    let mut signed = message.clone();
    signed.extend(signing.variables(time, FUDGE, 0));
    let tag = hmac::sign(&signing.key, &signed);
    let mut mac = [0; MAC];
    mac.copy_from_slice(tag.as_ref());

    let mut data = Vec::new();
    let _ = put_name(&mut data, ALGORITHM);
    data.extend(&time.to_be_bytes()[2..]);
    put_u16(&mut data, FUDGE);
    put_u16(&mut data, MAC as u16);
    data.extend(mac);
    let id = [message[0], message[1]];
    data.extend(id);
    put_u16(&mut data, 0);
    put_u16(&mut data, 0);

    message.extend(&signing.name);
    put_u16(message, TYPE_TSIG);
    put_u16(message, CLASS_ANY);
    message.extend(0_u32.to_be_bytes());
    put_u16(message, data.len() as u16);
    message.extend(data);
    message[ADDITIONAL_AT..HEADER].copy_from_slice(&1_u16.to_be_bytes());
    mac
}

/// An answer that was read.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// 0 if all is well; RFC 1035 and 2136 name the others.
    pub(super) code: u16,
    /// Whether it names the start of a zone.
    pub(super) zone: bool,
    signature: Option<Signature>,
}

/// The TSIG record at an answer's end.
#[derive(PartialEq, Eq, Debug)]
struct Signature {
    at: usize,
    key: Vec<u8>,
    algorithm: Vec<u8>,
    time: u64,
    fudge: u16,
    mac: Vec<u8>,
    error: u16,
}

impl Answer {
    /// Reads the answer to the message `id`.
    pub(super) fn read(bytes: &[u8], id: u16) -> Result<Self, WireError> {
        let mut reader = Reader { bytes, at: 0 };
        let (theirs, flags) = (reader.u16()?, reader.u16()?);
        if theirs != id || flags & IS_ANSWER == 0 {
            return Err(WireError::Other);
        }
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        for _ in 0..counts[0] {
            reader.name()?;
            reader.take(4)?;
        }
        let (mut zone, mut signature) = (false, None);
        for (section, count) in counts.into_iter().enumerate().skip(1) {
            for _ in 0..count {
                // A signature is the last record of all.
                if signature.is_some() {
                    return Err(WireError::Garbled);
                }
                let at = reader.at;
                let key = reader.name()?;
                let kind = reader.u16()?;
                reader.take(6)?;
                let length = usize::from(reader.u16()?);
                let from = reader.at;
                reader.take(length)?;
                zone |= section == 1 && kind == TYPE_SOA;
                if section == 3 && kind == TYPE_TSIG {
                    let mut data = Reader { bytes: &bytes[..reader.at], at: from };
                    signature = Some(data.signature(at, key)?);
                }
            }
        }
        Ok(Self { code: flags & CODE, zone, signature })
    }

    /// Checks that whoever has the key answered, to the message signed with `asked`, now.
    pub(super) fn verify(
        &self,
        bytes: &[u8],
        signing: &Signing,
        asked: &[u8; MAC],
        now: u64,
    ) -> Result<(), WireError> {
        let found = self.signature.as_ref().ok_or(WireError::Signature)?;
        let mut algorithm = Vec::new();
        put_name(&mut algorithm, ALGORITHM)?;
        let near = now.abs_diff(found.time) <= u64::from(found.fudge.min(FUDGE));
        if found.key != signing.name || found.algorithm != algorithm || !near || found.error != 0 {
            return Err(WireError::Signature);
        }
        let mut signed = (MAC as u16).to_be_bytes().to_vec();
        signed.extend(asked);
        let message = signed.len();
        signed.extend(&bytes[..found.at]);
        let count = u16::from_be_bytes([bytes[ADDITIONAL_AT], bytes[ADDITIONAL_AT + 1]]);
        let count = count.checked_sub(1).ok_or(WireError::Garbled)?;
        signed[message + ADDITIONAL_AT..message + HEADER].copy_from_slice(&count.to_be_bytes());
        signed.extend(signing.variables(found.time, found.fudge, found.error));
        hmac::verify(&signing.key, &signed, &found.mac).map_err(|_| WireError::Signature)
    }
}

/// Reads a message from its start; everything is checked against its end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(count).ok_or(WireError::Garbled)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Garbled)?;
        self.at = end;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name in lower case and without pointers.
    fn name(&mut self) -> Result<Vec<u8>, WireError> {
        let mut name = Vec::new();
        let mut labels = Reader { bytes: self.bytes, at: self.at };
        let mut jumped = false;
        loop {
            let from = labels.at;
            let length = labels.take(1)?[0];
            if length & 0xc0 == 0xc0 {
                let low = labels.take(1)?[0];
                if !jumped {
                    self.at = labels.at;
                }
                let to = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                // Only backwards, so that it comes to an end.
                if to >= from {
                    return Err(WireError::Garbled);
                }
                (labels.at, jumped) = (to, true);
                continue;
            }
            let label = labels.take(usize::from(length))?;
            name.push(length);
            name.extend(label.to_ascii_lowercase());
            if length & 0xc0 != 0 || name.len() > NAME_MAX {
                return Err(WireError::Garbled);
            }
            if length == 0 {
                break;
            }
        }
        if !jumped {
            self.at = labels.at;
        }
        Ok(name)
    }

    fn signature(&mut self, at: usize, key: Vec<u8>) -> Result<Signature, WireError> {
        let algorithm = self.name()?;
        let mut time = [0; 8];
        time[2..].copy_from_slice(self.take(6)?);
        let fudge = self.u16()?;
        let length = usize::from(self.u16()?);
        let mac = self.take(length)?.to_vec();
        self.take(2)?;
        let error = self.u16()?;
        Ok(Signature { at, key, algorithm, time: u64::from_be_bytes(time), fudge, mac, error })
    }
}

/// A header with one question, or zone, to follow.
fn header(id: u16, flags: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for number in [id, flags, 1, 0, 0, 0] {
        put_u16(&mut bytes, number);
    }
    bytes
}

fn put_u16(bytes: &mut Vec<u8>, number: u16) {
    bytes.extend(number.to_be_bytes());
}

fn put_name(bytes: &mut Vec<u8>, name: &str) -> Result<(), WireError> {
    let from = bytes.len();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        let length = u8::try_from(label.len()).map_err(|_| WireError::TooLong)?;
        if usize::from(length) > LABEL_MAX {
            return Err(WireError::TooLong);
        }
        bytes.push(length);
        bytes.extend(label.to_ascii_lowercase().as_bytes());
    }
    bytes.push(0);
    if bytes.len() - from > NAME_MAX { Err(WireError::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn signing() -> Signing {
        Signing::new("Key.Example.", b"a secret that both know").expect("a name")
    }

    /// The answer to a message with this signature, signed as a server would.
    fn answer(id: u16, code: u16, asked: &[u8; MAC], time: u64) -> Vec<u8> {
        let mut bytes = header(id, IS_ANSWER | OPCODE_UPDATE | code);
        put_name(&mut bytes, "example.com").expect("a name");
        put_u16(&mut bytes, TYPE_SOA);
        put_u16(&mut bytes, CLASS_IN);
        let mut signed = (MAC as u16).to_be_bytes().to_vec();
        signed.extend(asked);
        signed.extend(&bytes);
        signed.extend(signing().variables(time, FUDGE, 0));
        let tag = hmac::sign(&signing().key, &signed);
        sign(&mut bytes, &signing(), time);
        // In the place of the MAC of a question, which covers less.
        let at = bytes.len() - 6 - MAC;
        bytes[at..at + MAC].copy_from_slice(tag.as_ref());
        bytes
    }

    #[test]
    fn an_answer_counts_only_if_the_key_signed_it_for_this_question_now() {
        let mut message =
            update(7, "example.com", Change::Add, "_acme-challenge.example.com", "value")
                .expect("a message");
        let asked = sign(&mut message, &signing(), NOW);
        let good = answer(7, 0, &asked, NOW);
        let read = Answer::read(&good, 7).expect("readable");
        assert_eq!(read.code, 0);
        assert_eq!(read.verify(&good, &signing(), &asked, NOW + 299), Ok(()));
        let wrong = Err(WireError::Signature);
        assert_eq!(read.verify(&good, &signing(), &asked, NOW + 301), wrong, "late");
        assert_eq!(read.verify(&good, &signing(), &[0; MAC], NOW), wrong, "another question");
        let other = Signing::new("key.example", b"another secret").expect("a name");
        assert_eq!(read.verify(&good, &other, &asked, NOW), wrong, "another key");
        let mut changed = good.clone();
        changed[3] ^= 5;
        let read = Answer::read(&changed, 7).expect("readable");
        assert_eq!(read.verify(&changed, &signing(), &asked, NOW), wrong, "changed on the way");
        assert_eq!(Answer::read(&good, 8), Err(WireError::Other));
        assert_eq!(Answer::read(&message, 7), Err(WireError::Other), "a question");
    }

    #[test]
    fn no_bytes_are_read_beyond_a_messages_end() {
        let good = answer(7, 0, &[1; MAC], NOW);
        for end in 0..good.len() {
            assert!(Answer::read(&good[..end], 7).is_err(), "{end}");
        }
        // A name that points at itself.
        let mut looped = header(7, IS_ANSWER);
        looped.extend([0xc0, 12, 0, 6, 0, 1]);
        assert_eq!(Answer::read(&looped, 7), Err(WireError::Garbled));
    }

    #[test]
    fn a_zones_start_is_recognised_behind_a_pointer() {
        let mut bytes = ask_zone(9, "example.com").expect("a message");
        bytes[2..8].copy_from_slice(&[0x84, 0, 0, 1, 0, 1]);
        bytes.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 60, 0, 1, 0]);
        assert!(Answer::read(&bytes, 9).expect("readable").zone);
        let none = &bytes[..HEADER + 17];
        let mut none = none.to_vec();
        none[7] = 0;
        assert!(!Answer::read(&none, 9).expect("readable").zone);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = "a".repeat(64);
        assert_eq!(ask_zone(1, &long), Err(WireError::TooLong));
        assert_eq!(ask_zone(1, &["abc"; 70].join(".")), Err(WireError::TooLong));
        let value = "x".repeat(256);
        assert_eq!(update(1, "a", Change::Add, "b.a", &value), Err(WireError::TooLong));
    }

    /// An update and its answer as another implementation (dnspython 2) writes and signs them.
    const UPDATE: &str = concat!(
        "123428000001000000010001076578616d706c6503636f6d00000600010f5f61636d652d6368616c6c656e6765027333",
        "076578616d706c6503636f6d00001000010000003c00060576616c7565036b6579076578616d706c650000fa00ff0000",
        "0000003d0b686d61632d7368613235360000006553f100012c0020c1132f1e1acea116b9a83f8d4ec423d5cfeaebfe54",
        "ff06410edc967f7ad08714123400000000",
    );
    const ANSWER: &str = concat!(
        "1234a8000001000000000001076578616d706c6503636f6d0000060001036b6579076578616d706c650000fa00ff0000",
        "0000003d0b686d61632d7368613235360000006553f100012c00200c14c7689da1421925b3f6fc34cb69388a220c6335",
        "491f65695864c08bbe8333123400000000",
    );

    #[test]
    fn messages_and_signatures_are_those_of_other_implementations() {
        let name = "_acme-challenge.s3.example.com";
        let mut message =
            update(0x1234, "example.com", Change::Add, name, "value").expect("a message");
        let asked = sign(&mut message, &signing(), NOW);
        assert_eq!(hex::encode(&message), UPDATE);
        let bytes = hex::decode(ANSWER).expect("hexadecimal");
        let answer = Answer::read(&bytes, 0x1234).expect("readable");
        assert_eq!(answer.code, 0);
        assert_eq!(answer.verify(&bytes, &signing(), &asked, NOW), Ok(()));
    }
}
