//! Orders, and the proofs that each needs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Problem;
use super::authority::Authority;
use super::check::Asked;
use super::jws::{Keys, random};

const DNS: &str = "dns-01";
const TLS: &str = "tls-alpn-01";

#[derive(Debug, Default)]
pub(super) struct Orders {
    orders: Vec<Order>,
    names: Vec<Name>,
}

#[derive(Debug)]
struct Order {
    account: String,
    names: Vec<String>,
    needs: Vec<usize>,
    chain: Option<String>,
    /// The certificate that it takes the place of, as the client names it (RFC 9773).
    replaces: Option<String>,
}

/// One name's authorization.
#[derive(Debug)]
struct Name {
    account: String,
    host: String,
    wildcard: bool,
    token: String,
    status: Status,
    why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Pending,
    Processing,
    Valid,
    Invalid,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        }
    }
}

fn unknown() -> Problem {
    (404, "malformed", "no such thing of yours".to_owned())
}

impl Orders {
    /// How many orders ended in a certificate.
    pub(super) fn issued(&self) -> usize {
        self.orders.iter().filter(|order| order.chain.is_some()).count()
    }

    /// What the orders that ended in a certificate replaced.
    pub(super) fn replaced(&self) -> Vec<String> {
        let ended = self.orders.iter().filter(|order| order.chain.is_some());
        ended.filter_map(|order| order.replaces.clone()).collect()
    }

    pub(super) fn create(&mut self, account: &str, wanted_order: &Value) -> Result<usize, Problem> {
        let wrong = || (400, "rejectedIdentifier", "names, please".to_owned());
        let wanted = wanted_order["identifiers"].as_array().ok_or_else(wrong)?;
        let (mut names, mut needs) = (Vec::new(), Vec::new());
        for one in wanted {
            let name = one["value"].as_str().filter(|_| one["type"] == "dns").ok_or_else(wrong)?;
            let host = name.strip_prefix("*.").unwrap_or(name);
            needs.push(self.names.len());
            names.push(name.to_owned());
            self.names.push(Name {
                account: account.to_owned(),
                host: host.to_owned(),
                wildcard: host != name,
                token: random(),
                status: Status::Pending,
                why: String::new(),
            });
        }
        if names.is_empty() {
            return Err(wrong());
        }
        let replaces = wanted_order["replaces"].as_str().map(str::to_owned);
        let account = account.to_owned();
        self.orders.push(Order { account, names, needs, chain: None, replaces });
        Ok(self.orders.len() - 1)
    }

    pub(super) fn show(&self, id: usize, account: &str, base: &str) -> Result<Value, Problem> {
        let order = self.order(id, account)?;
        let identifiers: Vec<_> =
            order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let needs: Vec<_> =
            order.needs.iter().map(|need| format!("{base}/authorization/{need}")).collect();
        let mut body = json!({
            "status": self.status(order), "identifiers": identifiers, "authorizations": needs,
            "finalize": format!("{base}/order/{id}/finalize"),
        });
        if let Some(replaces) = &order.replaces {
            body["replaces"] = json!(replaces);
        }
        if order.chain.is_some() {
            body["certificate"] = json!(format!("{base}/certificate/{id}"));
        }
        Ok(body)
    }

    fn status(&self, order: &Order) -> &'static str {
        let all = |status| order.needs.iter().all(|need| self.names[*need].status == status);
        let any = |status| order.needs.iter().any(|need| self.names[*need].status == status);
        match order.chain {
            Some(_) => "valid",
            None if any(Status::Invalid) => "invalid",
            None if all(Status::Valid) => "ready",
            None => "pending",
        }
    }

    pub(super) fn authorization(
        &self,
        id: usize,
        account: &str,
        base: &str,
    ) -> Result<Value, Problem> {
        let name = self.name(id, account)?;
        let kinds: &[&str] = if name.wildcard { &[DNS] } else { &[DNS, TLS] };
        let challenges: Result<Vec<_>, _> =
            kinds.iter().map(|kind| self.challenge(id, account, kind, base)).collect();
        let status = match name.status {
            Status::Processing => Status::Pending,
            status => status,
        };
        Ok(json!({
            "status": status.word(), "identifier": {"type": "dns", "value": name.host},
            "wildcard": name.wildcard, "challenges": challenges?,
        }))
    }

    pub(super) fn challenge(
        &self,
        id: usize,
        account: &str,
        kind: &str,
        base: &str,
    ) -> Result<Value, Problem> {
        let name = self.name(id, account)?;
        let mut body = json!({
            "type": kind, "url": format!("{base}/challenge/{id}/{kind}"),
            "token": name.token, "status": name.status.word(),
        });
        if name.status == Status::Invalid {
            body["error"] =
                json!({"type": "urn:ietf:params:acme:error:unauthorized", "detail": name.why});
        }
        Ok(body)
    }

    /// Begins to look at a proof.
    pub(super) fn begin(&mut self, id: usize, kind: &str, keys: &Keys) -> Result<Asked, Problem> {
        let name = self.names.get_mut(id).ok_or_else(unknown)?;
        if name.status != Status::Pending || (name.wildcard && kind != DNS) {
            return Err((400, "malformed", "not to be proven now, or not so".to_owned()));
        }
        name.status = Status::Processing;
        let proof = keys.proof(&name.account, &name.token).ok_or_else(unknown)?;
        Ok(match kind {
            DNS => Asked::Dns {
                name: format!("_acme-challenge.{}", name.host),
                value: URL_SAFE_NO_PAD.encode(proof),
            },
            TLS => Asked::Tls { host: name.host.clone(), proof },
            _ => return Err(unknown()),
        })
    }

    /// What was found.
    pub(super) fn settle(&mut self, id: usize, proven: Result<(), String>) {
        let name = &mut self.names[id];
        match proven {
            Ok(()) => name.status = Status::Valid,
            Err(why) => (name.status, name.why) = (Status::Invalid, why),
        }
    }

    pub(super) fn finalize(
        &mut self,
        id: usize,
        account: &str,
        payload: &Value,
        authority: &Authority,
    ) -> Result<(), Problem> {
        let order = self.order(id, account)?;
        if self.status(order) != "ready" {
            return Err((403, "orderNotReady", self.status(order).to_owned()));
        }
        let bad = |why: String| (400, "badCSR", why);
        let csr = payload["csr"].as_str().and_then(|csr| URL_SAFE_NO_PAD.decode(csr).ok());
        let csr = csr.ok_or_else(|| bad("it is not there".to_owned()))?;
        let chain = authority.issue(&csr, &order.names).map_err(bad)?;
        self.orders[id].chain = Some(chain);
        Ok(())
    }

    pub(super) fn certificate(&self, id: usize, account: &str) -> Result<String, Problem> {
        self.order(id, account)?.chain.clone().ok_or_else(unknown)
    }

    fn order(&self, id: usize, account: &str) -> Result<&Order, Problem> {
        self.orders.get(id).filter(|order| order.account == account).ok_or_else(unknown)
    }

    fn name(&self, id: usize, account: &str) -> Result<&Name, Problem> {
        self.names.get(id).filter(|name| name.account == account).ok_or_else(unknown)
    }
}
