//! The erasure codes: any k of a row's n units give back all of them.
//!
//! A code works on columns of 64 bytes, each by itself. So units may also be whole runs of rows: since a shard's units lie
//! one behind the other, `unit_len` = several rows at once gives the same bytes as row by row. Decoding has a fixed cost
//! per call, so whoever rebuilds much should pass long runs. Inside, both directions cut what they are given into stripes, so
//! that working space is bounded and stays in the processor's caches.

use std::ops::Range;

use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};

use crate::error::CodecError;
use crate::layout::UNIT_ALIGN;

/// Names an erasure code in a group's record. Stored: a number is never given to another code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SchemeId(pub u8);

impl SchemeId {
    /// Reed-Solomon over GF(2¹⁶) by additive FFT (the Leopard code), as `reed-solomon-simd` computes it.
    pub const LEOPARD16: Self = Self(1);
    /// What new groups get.
    pub const DEFAULT: Self = Self::LEOPARD16;
}

/// An erasure code of fixed k and n, with working space that is used again from call to call.
///
/// Law: for any data, with parity from [`Self::encode`], [`Self::reconstruct`] from any k of the n units gives every unit.
/// It detects no corruption: units must be verified before.
pub trait ErasureCoder: Send {
    /// Which code this is.
    fn scheme(&self) -> SchemeId;

    /// Data units of a row.
    fn k(&self) -> usize;

    /// All units of a row.
    fn n(&self) -> usize;

    /// Fills the n − k `parity` units from the k `data` units, all `unit_len` bytes long.
    ///
    /// # Errors
    /// [`CodecError::UnitLength`], [`CodecError::UnitCount`] or [`CodecError::BufferLength`] for a row of the wrong shape.
    fn encode(
        &mut self,
        unit_len: usize,
        data: &[&[u8]],
        parity: &mut [&mut [u8]],
    ) -> Result<(), CodecError>;

    /// Fills `out[i]` with unit `wanted[i]`, data or parity, from whatever k of the n `units` (in code order) are there.
    /// A wanted unit that is there is copied.
    ///
    /// # Errors
    /// As [`Self::encode`]; [`CodecError::NotEnoughUnits`] if fewer than k are there, [`CodecError::NoSuchUnit`] for a
    /// wanted index ≥ n.
    fn reconstruct(
        &mut self,
        unit_len: usize,
        units: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError>;
}

/// A coder of `k` data units in `n`.
///
/// # Errors
/// [`CodecError::UnknownScheme`] if this version lacks the code, [`CodecError::Shape`] unless 1 ≤ k < n ≤ 256.
pub fn coder(scheme: SchemeId, k: usize, n: usize) -> Result<Box<dyn ErasureCoder>, CodecError> {
    if !(1 <= k && k < n && n <= 256) {
        return Err(CodecError::Shape { k, n });
    }
    match scheme {
        SchemeId::LEOPARD16 => Ok(Box::new(Leopard16::new(k, n)?)),
        unknown => Err(CodecError::UnknownScheme(unknown)),
    }
}

/// Working space of an encoder in bytes: what a core's second-level cache holds.
const ENCODE_SPACE: usize = 512 * 1024;

/// Working space of a decoder in bytes: more than an encoder's, since a decoder's cost per stripe is that of some 100 KiB.
const DECODE_SPACE: usize = 4 * 1024 * 1024;

// The widest code's stripes are still whole columns.
const _: () = assert!(ENCODE_SPACE / 256 >= UNIT_ALIGN as usize && ENCODE_SPACE.is_power_of_two());
const _: () = assert!(DECODE_SPACE / 256 >= UNIT_ALIGN as usize && DECODE_SPACE.is_power_of_two());

/// Scheme 1.
struct Leopard16 {
    k: usize,
    n: usize,
    encode_stripe: usize,
    decode_stripe: usize,
    encoder: ReedSolomonEncoder,
    /// Made at the first loss: most coders never decode.
    decoder: Option<ReedSolomonDecoder>,
}

impl Leopard16 {
    fn new(k: usize, n: usize) -> Result<Self, CodecError> {
        let m = n - k;
        // The library's space is about one buffer per unit of the larger side when encoding, of both when decoding.
        let encode_stripe = ENCODE_SPACE / k.max(m).next_power_of_two();
        let decode_stripe = DECODE_SPACE / (k + m).next_power_of_two();
        let encoder = ReedSolomonEncoder::new(k, m, UNIT_ALIGN as usize)?;
        Ok(Self { k, n, encode_stripe, decode_stripe, encoder, decoder: None })
    }

    /// Restores one stripe: see [`ErasureCoder::reconstruct`].
    fn reconstruct_stripe(
        &mut self,
        stripe: Range<usize>,
        units: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        let (k, m) = (self.k, self.n - self.k);
        let decoder = match &mut self.decoder {
            Some(decoder) => {
                decoder.reset(k, m, stripe.len())?;
                decoder
            }
            none => none.insert(ReedSolomonDecoder::new(k, m, stripe.len())?),
        };
        let present = units.iter().enumerate().filter_map(|(index, unit)| Some((index, (*unit)?)));
        for (index, unit) in present.take(k) {
            let bytes = &unit[stripe.clone()];
            if index < k {
                decoder.add_original_shard(index, bytes)?;
            } else {
                decoder.add_recovery_shard(index - k, bytes)?;
            }
        }
        let restored = decoder.decode()?;
        let data: Vec<&[u8]> = units[..k]
            .iter()
            .enumerate()
            .map(|(index, unit)| match unit {
                Some(unit) => &unit[stripe.clone()],
                None => restored
                    .restored_original(index)
                    .expect("a decoder restores every data unit it was not given"),
            })
            .collect();
        let lost = |index: usize| units[index].is_none();
        for (&index, buffer) in wanted.iter().zip(out.iter_mut()) {
            if index < k && lost(index) {
                buffer[stripe.clone()].copy_from_slice(data[index]);
            }
        }
        // The decoder gives data only: a lost parity unit is encoded again.
        if wanted.iter().any(|&index| index >= k && lost(index)) {
            encode_stripes(
                &mut self.encoder,
                m,
                self.encode_stripe,
                &data,
                |parity, at, bytes| {
                    for (&index, buffer) in wanted.iter().zip(out.iter_mut()) {
                        if index == k + parity {
                            let start = stripe.start + at;
                            buffer[start..start + bytes.len()].copy_from_slice(bytes);
                        }
                    }
                },
            )?;
        }
        Ok(())
    }
}

impl ErasureCoder for Leopard16 {
    fn scheme(&self) -> SchemeId {
        SchemeId::LEOPARD16
    }

    fn k(&self) -> usize {
        self.k
    }

    fn n(&self) -> usize {
        self.n
    }

    fn encode(
        &mut self,
        unit_len: usize,
        data: &[&[u8]],
        parity: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        check_unit_len(unit_len)?;
        check_units(self.k, unit_len, data.iter().map(|unit| Some(unit.len())))?;
        check_units(self.n - self.k, unit_len, parity.iter().map(|unit| Some(unit.len())))?;
        let m = self.n - self.k;
        encode_stripes(&mut self.encoder, m, self.encode_stripe, data, |index, at, bytes| {
            parity[index][at..at + bytes.len()].copy_from_slice(bytes);
        })
    }

    fn reconstruct(
        &mut self,
        unit_len: usize,
        units: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        check_unit_len(unit_len)?;
        check_units(self.n, unit_len, units.iter().map(|unit| unit.map(<[u8]>::len)))?;
        check_units(wanted.len(), unit_len, out.iter().map(|unit| Some(unit.len())))?;
        let found = units.iter().flatten().count();
        if found < self.k {
            return Err(CodecError::NotEnoughUnits { needed: self.k, found });
        }

        let mut any_lost = false;
        for (&index, buffer) in wanted.iter().zip(out.iter_mut()) {
            match units.get(index) {
                None => return Err(CodecError::NoSuchUnit { index, n: self.n }),
                Some(Some(unit)) => buffer.copy_from_slice(unit),
                Some(None) => any_lost = true,
            }
        }
        if any_lost {
            for start in (0..unit_len).step_by(self.decode_stripe) {
                let stripe = start..unit_len.min(start + self.decode_stripe);
                self.reconstruct_stripe(stripe, units, wanted, out)?;
            }
        }
        Ok(())
    }
}

/// Encodes `data` stripe by stripe and hands parity unit `p` (0…m−1) of each stripe to `take(p, offset, bytes)`.
fn encode_stripes(
    encoder: &mut ReedSolomonEncoder,
    m: usize,
    stripe: usize,
    data: &[&[u8]],
    mut take: impl FnMut(usize, usize, &[u8]),
) -> Result<(), CodecError> {
    let unit_len = data[0].len();
    for start in (0..unit_len).step_by(stripe) {
        let end = unit_len.min(start + stripe);
        encoder.reset(data.len(), m, end - start)?;
        for unit in data {
            encoder.add_original_shard(&unit[start..end])?;
        }
        let result = encoder.encode()?;
        for (index, bytes) in result.recovery_iter().enumerate() {
            take(index, start, bytes);
        }
    }
    Ok(())
}

fn check_unit_len(unit_len: usize) -> Result<(), CodecError> {
    if unit_len > 0 && unit_len.is_multiple_of(UNIT_ALIGN as usize) {
        Ok(())
    } else {
        Err(CodecError::UnitLength(unit_len))
    }
}

fn check_units(
    expected: usize,
    unit_len: usize,
    lens: impl ExactSizeIterator<Item = Option<usize>>,
) -> Result<(), CodecError> {
    if lens.len() != expected {
        return Err(CodecError::UnitCount { expected, found: lens.len() });
    }
    for (index, found) in lens.enumerate() {
        if let Some(found) = found.filter(|found| *found != unit_len) {
            return Err(CodecError::BufferLength { index, expected: unit_len, found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
