//! Gateway and node agree on each hour, or both can see where they do not.
//!
//! Once an hour is closed the gateway sends each node its totals. The node answers: it agrees, with its signature, or it
//! disputes, with its own counters. A dispute is on the operator's list and on the node's statement until the operator has
//! answered it. Totals of a closed hour never change: what was wrong is put right by events in an open one.

use kv::{KeyPrefix, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{NodeId, Timestamp};

use crate::Billing;
use crate::account::check_reason;
use crate::calendar::{Day, Hour};
use crate::error::BillingError;
use crate::quantity::Work;
use crate::schema::{ANSWERS, DISPUTES, WORK_HOURS};

/// The longest signature that is kept.
pub const SIGNATURE_MAX: usize = 512;

/// What a node says to its totals of an hour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// They are its own.
    Agreed {
        /// When it said so.
        at: Timestamp,
        /// Its signature over the totals' leaf, in the protocol's form.
        signature: Vec<u8>,
    },
    /// They are not.
    Disputed {
        /// When it said so.
        at: Timestamp,
        /// What it counted itself.
        own: Work,
        /// What the operator said to it.
        ruling: Option<String>,
    },
}

/// An hour of a node as both sides see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tally {
    /// Whose.
    pub node: NodeId,
    /// Which hour.
    pub hour: Hour,
    /// What the gateway counted.
    pub work: Work,
    /// What the node says; `None` if nothing yet.
    pub answer: Option<Answer>,
}

impl Tally {
    /// Where the two differ, in words.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        match &self.answer {
            Some(Answer::Disputed { own, .. }) => differences(&self.work, own),
            _ => Vec::new(),
        }
    }
}

/// Where the gateway's count and the node's own differ, in words; nothing if they agree.
#[must_use]
pub fn differences(gateway: &Work, own: &Work) -> Vec<String> {
    let rows = [
        ("byte-milliseconds held", gateway.held, own.held),
        ("byte-milliseconds not proven", gateway.unproven, own.unproven),
        ("bytes served", gateway.served.into(), own.served.into()),
        ("bytes for repair", gateway.repair.into(), own.repair.into()),
        ("bytes for audits", gateway.audit.into(), own.audit.into()),
        ("fuel units", gateway.fuel.into(), own.fuel.into()),
    ];
    let unequal = rows.into_iter().filter(|(_, gateway, own)| gateway != own);
    unequal
        .map(|(what, gateway, own)| {
            let (more, by) = if gateway > own { ("more", gateway.abs_diff(own)) } else { ("less", gateway.abs_diff(own)) };
            format!("{what}: the statement says {gateway}, the node counted {own}; {by} {more} than counted")
        })
        .collect()
}

impl Billing {
    /// The totals of `node` on `day`, hour by hour, with its answers: what the gateway sends, and what both can see.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tallies(&self, node: NodeId, day: Day) -> Result<Vec<Tally>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let prefix = KeyPrefix::of(&day).then(&node);
        let mut tallies = Vec::new();
        for ((_, _, hour), work) in WORK_HOURS.scan(&snap, &prefix, usize::MAX).await? {
            let hour = day.hour(hour);
            let answer = ANSWERS.get(&snap, &(node, hour)).await?;
            tallies.push(Tally { node, hour, work, answer });
        }
        Ok(tallies)
    }

    /// Takes the answer of `node` to its totals of `hour`. A dispute with the same counters is an agreement. A later answer replaces
    /// an earlier one.
    ///
    /// # Errors
    /// [`BillingError::NoTally`]; [`BillingError::Overflow`] for a signature above [`SIGNATURE_MAX`].
    pub async fn answer_tally(
        &self,
        node: NodeId,
        hour: Hour,
        answer: &Answer,
    ) -> Result<(), BillingError> {
        if matches!(answer, Answer::Agreed { signature, .. } if signature.len() > SIGNATURE_MAX) {
            return Err(BillingError::Overflow("signature"));
        }
        transact(&*self.kv, |tx: Tx| async move {
            let work = WORK_HOURS.get(&tx, &(hour.day(), node, hour.of_day())).await?;
            let work = work.ok_or(BillingError::NoTally { node, hour })?;
            match answer {
                Answer::Disputed { own, .. } if *own != work => {
                    DISPUTES.put(&tx, &(hour, node), &());
                }
                _ => DISPUTES.delete(&tx, &(hour, node)),
            }
            ANSWERS.put(&tx, &(node, hour), answer);
            Ok(())
        })
        .await
    }

    /// Up to `limit` disputes that nobody has ruled on, the oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn disputes(&self, limit: usize) -> Result<Vec<Tally>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut tallies = Vec::new();
        for ((hour, node), ()) in DISPUTES.scan(&snap, Span::all(), limit).await? {
            let work = WORK_HOURS.get(&snap, &(hour.day(), node, hour.of_day())).await?;
            let answer = ANSWERS.get(&snap, &(node, hour)).await?;
            tallies.push(Tally { node, hour, work: work.unwrap_or_default(), answer });
        }
        Ok(tallies)
    }

    /// Ends a dispute with the operator's words, which stay on the node's statement.
    ///
    /// # Errors
    /// [`BillingError::Reason`]; [`BillingError::NoTally`] if there is no dispute.
    pub async fn rule(&self, node: NodeId, hour: Hour, words: &str) -> Result<(), BillingError> {
        check_reason(words)?;
        transact(&*self.kv, |tx: Tx| async move {
            let Some(Answer::Disputed { at, own, .. }) =
                ANSWERS.get_for_update(&tx, &(node, hour)).await?
            else {
                return Err(BillingError::NoTally { node, hour });
            };
            let ruling = Some(words.to_owned());
            ANSWERS.put(&tx, &(node, hour), &Answer::Disputed { at, own, ruling });
            DISPUTES.delete(&tx, &(hour, node));
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_in_words() {
        let own = Work { served: 10, audit: 3, ..Work::default() };
        assert_eq!(differences(&own, &own), Vec::<String>::new());
        let gateway = Work { served: 8, ..own };
        assert_eq!(
            differences(&gateway, &own),
            ["bytes served: the statement says 8, the node counted 10; 2 less than counted"]
        );
    }
}
