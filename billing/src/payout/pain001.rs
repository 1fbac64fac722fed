//! A batch as the file a bank takes: ISO 20022 CustomerCreditTransferInitiation, `pain.001.001.09`.
//!
//! Texts are in the characters that every bank of SEPA takes (EPC217-08): letters, digits and `/-?:().,'+` and space. Others are
//! written by their nearest Latin letters, or as a dot.

use std::fmt::Write as _;

use types::{AccountId, Timestamp};

use super::files::end_to_end;
use super::{Bic, Iban, ItemState, Payout};
use crate::calendar::Day;
use crate::error::BillingError;
use crate::money::Money;
use crate::render::escaped;
use crate::{Currency, Seller};

const NAMESPACE: &str = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09";
/// The longest name the format has room for.
const NAME_MAX: usize = 70;
/// What is not to be had in Latin letters.
const UNKNOWN: &str = ".";

/// Letters of Europe's alphabets and what stands for them.
const LATIN: [(&str, &str); 39] = [
    ("ÀÁÂÃÅĀĂĄ", "A"),
    ("àáâãåāăą", "a"),
    ("Ä", "Ae"),
    ("ä", "ae"),
    ("Æ", "AE"),
    ("æ", "ae"),
    ("ÇĆĈĊČ", "C"),
    ("çćĉċč", "c"),
    ("ÐĎĐ", "D"),
    ("ðďđ", "d"),
    ("ÈÉÊËĒĔĖĘĚ", "E"),
    ("èéêëēĕėęě", "e"),
    ("ĜĞĠĢ", "G"),
    ("ĝğġģ", "g"),
    ("ÌÍÎÏĨĪĬĮİ", "I"),
    ("ìíîïĩīĭįı", "i"),
    ("ŁĹĻĽ", "L"),
    ("łĺļľ", "l"),
    ("ÑŃŅŇ", "N"),
    ("ñńņň", "n"),
    ("ÒÓÔÕŌŎŐØ", "O"),
    ("òóôõōŏőø", "o"),
    ("Ö", "Oe"),
    ("ö", "oe"),
    ("ŔŖŘ", "R"),
    ("ŕŗř", "r"),
    ("ŚŜŞŠȘ", "S"),
    ("śŝşšș", "s"),
    ("ß", "ss"),
    ("ŢŤȚ", "T"),
    ("ţťț", "t"),
    ("ÙÚÛŨŪŬŮŰŲ", "U"),
    ("ùúûũūŭůűų", "u"),
    ("Ü", "Ue"),
    ("ü", "ue"),
    ("ÝŸ", "Y"),
    ("ŽŹŻ", "Z"),
    ("ýÿ", "y"),
    ("žźż", "z"),
];

/// The file of the batch `name`. Payouts that came back are left out. `execute` is the day on which the bank shall pay.
///
/// # Errors
/// [`BillingError::NothingToPay`] if none is left; [`BillingError::Payee`] if the seller's account is none; [`BillingError::Money`] if an amount is none a bank can move.
pub fn to_pain001(
    name: &str,
    payouts: &[(AccountId, Payout)],
    seller: &Seller,
    currency: &Currency,
    created: Timestamp,
    execute: Day,
) -> Result<String, BillingError> {
    let debtor: Iban = seller.iban.parse()?;
    let bic = seller.bic.as_deref().map(str::parse::<Bic>).transpose()?;
    let payouts: Vec<&Payout> = payouts
        .iter()
        .map(|(_, payout)| payout)
        .filter(|payout| payout.state != ItemState::Returned)
        .collect();
    if payouts.is_empty() {
        return Err(BillingError::NothingToPay(name.to_owned()));
    }
    let sum = currency.bank_text(Money::total(payouts.iter().map(|payout| payout.amount))?)?;
    let count = payouts.len();
    let payer = latin(&seller.name, NAME_MAX);

    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = write!(
        xml,
        "<Document xmlns=\"{NAMESPACE}\">\n<CstmrCdtTrfInitn>\n<GrpHdr>\n\
         <MsgId>{name}</MsgId>\n<CreDtTm>{}</CreDtTm>\n<NbOfTxs>{count}</NbOfTxs>\n\
         <CtrlSum>{sum}</CtrlSum>\n<InitgPty><Nm>{payer}</Nm></InitgPty>\n</GrpHdr>\n\
         <PmtInf>\n<PmtInfId>{name}</PmtInfId>\n<PmtMtd>TRF</PmtMtd>\n<NbOfTxs>{count}</NbOfTxs>\n\
         <CtrlSum>{sum}</CtrlSum>\n",
        date_time(created),
    );
    // Only the euro is cleared by SEPA's rules.
    if currency.code() == "EUR" {
        xml.push_str("<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>\n");
    }
    let _ = write!(
        xml,
        "<ReqdExctnDt><Dt>{execute}</Dt></ReqdExctnDt>\n<Dbtr><Nm>{payer}</Nm></Dbtr>\n\
         <DbtrAcct><Id><IBAN>{debtor}</IBAN></Id><Ccy>{}</Ccy></DbtrAcct>\n<DbtrAgt>{}</DbtrAgt>\n\
         <ChrgBr>SLEV</ChrgBr>\n",
        currency.code(),
        agent(bic.as_ref()),
    );
    for payout in payouts {
        transfer(&mut xml, name, payout, currency)?;
    }
    xml.push_str("</PmtInf>\n</CstmrCdtTrfInitn>\n</Document>\n");
    Ok(xml)
}

fn transfer(
    xml: &mut String,
    batch: &str,
    payout: &Payout,
    currency: &Currency,
) -> Result<(), BillingError> {
    let id = end_to_end(batch, payout.number);
    let amount = currency.bank_text(payout.amount)?;
    let _ = write!(
        xml,
        "<CdtTrfTxInf>\n<PmtId><EndToEndId>{id}</EndToEndId></PmtId>\n\
         <Amt><InstdAmt Ccy=\"{}\">{amount}</InstdAmt></Amt>\n",
        currency.code(),
    );
    if let Some(bic) = &payout.payee.bic {
        let _ = writeln!(xml, "<CdtrAgt>{}</CdtrAgt>", agent(Some(bic)));
    }
    let _ = write!(
        xml,
        "<Cdtr><Nm>{}</Nm></Cdtr>\n<CdtrAcct><Id><IBAN>{}</IBAN></Id></CdtrAcct>\n\
         <RmtInf><Ustrd>{}</Ustrd></RmtInf>\n</CdtTrfTxInf>\n",
        latin(&payout.payee.name, NAME_MAX),
        payout.payee.iban,
        latin(&format!("Node earnings {id}"), NAME_MAX),
    );
    Ok(())
}

fn agent(bic: Option<&Bic>) -> String {
    match bic {
        Some(bic) => format!("<FinInstnId><BICFI>{bic}</BICFI></FinInstnId>"),
        None => "<FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId>".to_owned(),
    }
}

/// `text` in the bank's characters, at most `max` of them, escaped.
fn latin(text: &str, max: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let fine = character.is_ascii_alphanumeric() || "/-?:().,'+ ".contains(character);
        let found = LATIN.iter().find(|(letters, _)| letters.contains(character));
        match found {
            _ if fine => out.push(character),
            Some((_, letters)) => out.push_str(letters),
            None if character == '&' => out.push('+'),
            None => out.push_str(UNKNOWN),
        }
    }
    out.truncate(max);
    // Nor may a text begin or end with a slash, or hold two in a row.
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    escaped(out.trim_matches(['/', ' ']))
}

/// As in `2026-11-28T13:05:09Z`.
fn date_time(at: Timestamp) -> String {
    let seconds = at.seconds() % (24 * 60 * 60);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", Day::of(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Payee;
    use super::*;

    fn payout(number: u32, name: &str, micros: i128) -> (AccountId, Payout) {
        let payee = Payee {
            name: name.to_owned(),
            iban: "DE89370400440532013000".parse().unwrap(),
            bic: number.is_multiple_of(2).then(|| "DEUTDEFF".parse().unwrap()),
        };
        let amount = Money::from_micros(micros);
        let state = ItemState::Pending;
        let payout = Payout { payee, amount, from: Vec::new(), state, reason: None, number };
        (format!("owner{number}").parse().unwrap(), payout)
    }

    fn seller() -> Seller {
        Seller {
            name: "Trockenmauer & Söhne GmbH".to_owned(),
            iban: "AT611904300234573201".to_owned(),
            ..Seller::default()
        }
    }

    fn file(payouts: &[(AccountId, Payout)]) -> String {
        let created = Timestamp(1_700_000_000_000);
        let execute = "2023-11-16".parse().unwrap();
        to_pain001("2023-11", payouts, &seller(), &Currency::euro(), created, execute).unwrap()
    }

    /// What stands in each element of that name.
    fn texts<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
        let open = format!("<{name}");
        let pieces = xml.split(&open).skip(1).filter(|piece| piece.starts_with(['>', ' ']));
        pieces.filter_map(|piece| Some(piece.split_once('>')?.1.split_once("</")?.0)).collect()
    }

    proptest! {
        #[test]
        fn the_control_sum_is_the_sum_of_the_payouts(cents in prop::collection::vec(1..100_000_000_i128, 1..30)) {
            let payouts: Vec<_> =
                (1..).zip(&cents).map(|(number, cents)| payout(number, "A", cents * 10_000)).collect();
            let xml = file(&payouts);
            let read = |text: &str| text.parse::<Money>().unwrap();
            let sum = Money::total(texts(&xml, "InstdAmt").into_iter().map(read)).unwrap();
            for control in texts(&xml, "CtrlSum") {
                prop_assert_eq!(read(control), sum);
            }
            prop_assert_eq!(sum.micros(), cents.iter().sum::<i128>() * 10_000);
            prop_assert_eq!(texts(&xml, "NbOfTxs"), vec![cents.len().to_string(); 2]);
        }

        #[test]
        fn names_are_in_the_banks_characters_and_never_break_the_file(name in "\\PC{1,90}") {
            let xml = file(&[payout(1, &name, 10_000)]);
            let written = texts(&xml, "Cdtr><Nm")[0];
            prop_assert!(written.is_ascii());
            prop_assert!(!written.contains(['<', '>', '"']));
            prop_assert!(!written.contains("//") && !written.starts_with('/') && !written.ends_with('/'));
            prop_assert!(written.replace("&#39;", "'").len() <= NAME_MAX);
        }
    }

    #[test]
    fn a_batch_of_two_is_this_file() {
        let mut payouts = vec![
            payout(1, "Zoë O'Neill-Müller", 12_340_000),
            payout(2, "Łukasz Żak", 1_000_000_000),
            payout(3, "gone", 5_000_000),
        ];
        payouts[2].1.state = ItemState::Returned;
        assert_eq!(file(&payouts), GOLDEN);
    }

    #[test]
    fn another_currency_is_not_sepa() {
        let yen = Currency::new("JPY", 0).unwrap();
        let payouts = [payout(1, "A", 3_000_000)];
        let (created, execute) = (Timestamp(0), Day(0));
        let xml = to_pain001("b", &payouts, &seller(), &yen, created, execute).unwrap();
        assert!(!xml.contains("SvcLvl"));
        assert_eq!(texts(&xml, "InstdAmt"), ["3"]);
    }

    #[test]
    fn a_seller_without_account_pays_nobody() {
        let seller = Seller { iban: String::new(), ..seller() };
        let payouts = [payout(1, "A", 10_000)];
        let file = to_pain001("b", &payouts, &seller, &Currency::euro(), Timestamp(0), Day(0));
        assert!(matches!(file, Err(BillingError::Payee(_))));
    }

    #[test]
    fn a_batch_of_which_everything_came_back_is_no_file() {
        let mut payouts = [payout(1, "A", 10_000)];
        payouts[0].1.state = ItemState::Returned;
        let file = to_pain001("b", &payouts, &seller(), &Currency::euro(), Timestamp(0), Day(0));
        assert!(matches!(file, Err(BillingError::NothingToPay(_))));
    }

    #[test]
    fn an_end_to_end_id_fits_however_long_the_batch_is_called() {
        let name = "x".repeat(super::super::BATCH_NAME_MAX);
        for number in [1, 99_999, u32::MAX] {
            let id = end_to_end(&name, number);
            assert!(id.len() <= 35 && id.ends_with(&format!("-{number}")), "{id}");
        }
    }

    const GOLDEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">
<CstmrCdtTrfInitn>
<GrpHdr>
<MsgId>2023-11</MsgId>
<CreDtTm>2023-11-14T22:13:20Z</CreDtTm>
<NbOfTxs>2</NbOfTxs>
<CtrlSum>1012.34</CtrlSum>
<InitgPty><Nm>Trockenmauer + Soehne GmbH</Nm></InitgPty>
</GrpHdr>
<PmtInf>
<PmtInfId>2023-11</PmtInfId>
<PmtMtd>TRF</PmtMtd>
<NbOfTxs>2</NbOfTxs>
<CtrlSum>1012.34</CtrlSum>
<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>
<ReqdExctnDt><Dt>2023-11-16</Dt></ReqdExctnDt>
<Dbtr><Nm>Trockenmauer + Soehne GmbH</Nm></Dbtr>
<DbtrAcct><Id><IBAN>AT611904300234573201</IBAN></Id><Ccy>EUR</Ccy></DbtrAcct>
<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>
<ChrgBr>SLEV</ChrgBr>
<CdtTrfTxInf>
<PmtId><EndToEndId>2023-11-1</EndToEndId></PmtId>
<Amt><InstdAmt Ccy="EUR">12.34</InstdAmt></Amt>
<Cdtr><Nm>Zoe O&#39;Neill-Mueller</Nm></Cdtr>
<CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct>
<RmtInf><Ustrd>Node earnings 2023-11-1</Ustrd></RmtInf>
</CdtTrfTxInf>
<CdtTrfTxInf>
<PmtId><EndToEndId>2023-11-2</EndToEndId></PmtId>
<Amt><InstdAmt Ccy="EUR">1000.00</InstdAmt></Amt>
<CdtrAgt><FinInstnId><BICFI>DEUTDEFF</BICFI></FinInstnId></CdtrAgt>
<Cdtr><Nm>Lukasz Zak</Nm></Cdtr>
<CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct>
<RmtInf><Ustrd>Node earnings 2023-11-2</Ustrd></RmtInf>
</CdtTrfTxInf>
</PmtInf>
</CstmrCdtTrfInitn>
</Document>
"#;
}
