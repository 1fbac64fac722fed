//! The audit log: who did what, one event for each decision, in the tracing target `audit`.
//!
//! What changes who may do what, or how a bucket behaves, is told at level `info`; writes of data, and whatever was refused, at `debug`; reads at
//! `trace`. So `DRYSTONE_LOG=info,audit=debug` keeps a record of every change and every attempt.

use crate::http::RequestId;

use super::actions::Effect;
use super::caller::Caller;
use super::envelope::Envelope;
use super::rules::Reason;

/// What is told.
pub(super) struct Event<'a> {
    pub(super) id: Option<RequestId>,
    pub(super) caller: &'a Caller,
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) action: &'static str,
    /// Written only if somebody listens.
    pub(super) resource: &'a dyn Fn() -> String,
    pub(super) effect: Effect,
    pub(super) reason: Reason,
}

macro_rules! tell {
    ($level:ident, $event:expr) => {
        if tracing::enabled!(target: "audit", tracing::Level::$level) {
            let event: &Event<'_> = $event;
            let signer = event.caller.signer();
            tracing::event!(
                target: "audit",
                tracing::Level::$level,
                request = event.id.map(tracing::field::display),
                account = signer.map(|signer| tracing::field::display(&signer.account)),
                key = signer.map(|signer| signer.id.as_str()),
                name = signer.map(|signer| signer.name.as_str()).filter(|name| !name.is_empty()),
                address = event.envelope.address().map(tracing::field::display),
                action = event.action,
                resource = (event.resource)(),
                allowed = event.reason.allows(),
                reason = ?event.reason,
            )
        }
    };
}

impl Event<'_> {
    /// Tells it.
    pub(super) fn tell(&self) {
        match self.effect {
            Effect::Control if self.reason.allows() => tell!(INFO, self),
            Effect::Read if self.reason.allows() => tell!(TRACE, self),
            Effect::Control | Effect::Write | Effect::Read => tell!(DEBUG, self),
        }
    }
}
