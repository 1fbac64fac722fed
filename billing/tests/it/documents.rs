//! Invoices and statements.

use std::collections::BTreeMap;

use billing::account::BillTo;
use billing::invoice::{Invoice, hours_to_csv};
use billing::ledger::LedgerAccount;
use billing::statement::{Hash, NodeStatement, check};
use billing::tally::Answer;
use billing::{BillingError, Day, Hour, Money, Month, Work};
use types::usage::{RequestClass, UsageKind, WorkKind};

use crate::support::{
    CLASS, FIRST, Rng, World, at, egress, id, money, node, served, stored, usage, work,
};

const GB: u64 = billing::quantity::GB;

fn month() -> Month {
    FIRST.month()
}

/// A month in which alice uses a little of everything, and three nodes work.
async fn a_month(world: World) -> World {
    let world = world.with_tariff().await;
    let mut rng = Rng(17);
    world.deposit("alice", "3", "d").await;
    for day in 0..30 {
        let hour = day * 24 + 1;
        let read = UsageKind::Requests { class: RequestClass::Read, count: 1 + rng.below(2_000) };
        let used = vec![
            stored(at(hour, rng.below(60)), "alice", rng.below(20 * GB)),
            egress(at(hour + 1, 0), "alice", 1 + rng.below(5)),
            usage(at(hour + 2, 0), "alice", read),
            usage(at(hour + 3, 0), "alice", UsageKind::Fuel { units: rng.below(GB) }),
        ];
        let mut worked = Vec::new();
        for number in 1..=3 {
            worked.push(work(at(hour, 0), number, WorkKind::Held { bytes: rng.below(GB) }));
            worked.push(served(at(hour + 1, 0), number, 1 + rng.below(3)));
        }
        world.count(1, used, worked).await;
        world.settle_until(Day(FIRST.0 + day + 1)).await;
    }
    world
}

async fn an_invoice_is_what_was_charged(world: World) {
    let world = a_month(world).await;
    let alice = id("alice");
    let invoice = world.billing.invoice(&alice, month()).await.expect("a draft");
    let hours = world.billing.hours_of_use(&alice, month()).await.expect("hours");
    assert_eq!(invoice.lines.len(), 4);
    for line in &invoice.lines {
        let sum: i128 = hours.iter().map(|hour| hour.usage.of(line.item)).sum();
        assert_eq!(line.quantity, sum, "{}", line.name);
        // One price all month, and the account is new: what is charged is price times quantity, cut.
        let exact = line.price.micros() * line.quantity / line.priced;
        assert_eq!(line.amount.micros(), exact, "{}", line.name);
    }
    let sum = Money::total(invoice.lines.iter().map(|line| line.amount)).expect("small");
    let history = world.billing.history(&LedgerAccount::Customer(alice.clone()), 0, 1_000).await;
    let spent: i128 =
        history.expect("a history").iter().skip(1).map(|(_, out)| -out.micros()).sum();
    let owed = world.billing.standings(&alice).await.expect("read").owed;
    assert_eq!(sum.micros(), spent + owed.micros());
    assert_eq!((invoice.net, invoice.owed), (sum, owed));
    assert_eq!(invoice.movements[0].what, "deposit: bank");
}

async fn an_issued_invoice_never_changes(world: World) {
    let world = a_month(world).await;
    let alice = id("alice");
    let early = world.billing.issue_invoice(&alice, month().next(), at(30 * 24, 0)).await;
    assert!(matches!(early, Err(BillingError::MonthOpen { .. })), "{early:?}");
    let bill_to = BillTo {
        name: "Alice & Co".to_owned(),
        tax_basis_points: 2_000,
        tax_note: "VAT 20 %".to_owned(),
        ..BillTo::default()
    };
    world.billing.set_bill_to(&alice, &bill_to).await.expect("set");
    let now = at(30 * 24, 10);
    assert_eq!(world.billing.issue_invoices(month(), now).await.expect("issued"), 1);
    let issued = world.billing.invoice(&alice, month()).await.expect("issued");
    assert_eq!(issued.number, Some(1));
    assert_eq!(issued.tax.micros(), issued.net.micros() / 5);

    // Later facts are on later invoices; the tax is charged once.
    world.billing.set_bill_to(&alice, &BillTo::default()).await.expect("set");
    world.deposit("alice", "100", "d2").await;
    assert_eq!(world.billing.issue_invoices(month(), now).await.expect("issued"), 1);
    assert_eq!(world.billing.invoice(&alice, month()).await.expect("issued"), issued);
    let all = world.billing.invoices(&alice).await.expect("issued");
    assert_eq!(all, std::slice::from_ref(&issued));
    let totals = world.check().await;
    assert_eq!((totals.tax, totals.receivable), (issued.tax, Money::ZERO));
    let left = money("103").minus(issued.total).expect("small");
    assert_eq!(totals.customers, left);
}

async fn invoices_are_numbered_without_gaps(world: World) {
    let world = world.with_tariff().await;
    let names = ["a", "b", "c"];
    let events = names.map(|name| egress(at(1, 0), name, 1)).to_vec();
    world.count(1, events, Vec::new()).await;
    world.settle_until(Day(FIRST.0 + 30)).await;
    let now = at(30 * 24, 10);
    world.billing.issue_invoice(&id("b"), month(), now).await.expect("issued");
    assert_eq!(world.billing.issue_invoices(month(), now).await.expect("issued"), 3);
    let mut numbers = Vec::new();
    for name in names {
        numbers.push(world.billing.invoice(&id(name), month()).await.expect("issued").number);
    }
    assert_eq!(numbers, [Some(2), Some(1), Some(3)]);
}

async fn an_invoice_can_be_read_printed_and_imported(world: World) {
    let world = a_month(world).await;
    let bill_to = BillTo { name: "<Alice>".to_owned(), ..BillTo::default() };
    world.billing.set_bill_to(&id("alice"), &bill_to).await.expect("set");
    let invoice = world.billing.invoice(&id("alice"), month()).await.expect("a draft");
    let json = invoice.to_json().expect("JSON");
    assert_eq!(serde_json::from_str::<Invoice>(&json).expect("JSON"), invoice);
    let csv = invoice.to_csv();
    assert_eq!(csv.lines().count(), 1 + invoice.lines.len() + 3);
    let hours = world.billing.hours_of_use(&id("alice"), month()).await.expect("hours");
    assert_eq!(hours_to_csv(&hours).lines().count(), 1 + hours.len());
    let html = invoice.to_html();
    assert!(html.contains("&lt;Alice&gt;") && html.contains(&invoice.total.to_string()));
    assert!(html.contains("whole millionths"), "the rounding statement");
}

/// What node 1 counted itself, and the roots that were published.
async fn own_side(world: &World) -> (BTreeMap<Hour, Work>, BTreeMap<Day, [u8; 32]>) {
    let mut own = BTreeMap::new();
    for day in month().days() {
        for tally in world.billing.tallies(node(1), day).await.expect("tallies") {
            own.insert(tally.hour, tally.work);
        }
    }
    (own, world.billing.roots(month()).await.expect("roots"))
}

async fn a_statement_proves_itself_to_its_node(world: World) {
    let world = a_month(world).await;
    let statement = world.billing.statement(node(1), month()).await.expect("a statement");
    assert_eq!(statement.days.len(), 30);
    let (own, roots) = own_side(&world).await;
    let findings = check(&statement, &own, &roots);
    assert!(findings.is_empty(), "{findings:?}");
    // It also does after a trip through JSON.
    let json = statement.to_json().expect("JSON");
    let read: NodeStatement = serde_json::from_str(&json).expect("JSON");
    assert_eq!(read, statement);
    let balance = world.balance(LedgerAccount::Node(node(1))).await;
    let moved = Money::total(statement.movements.iter().map(|row| row.amount)).expect("small");
    // The last day was settled when the month was over: it moves the balance in the next one.
    let last = &statement.days[29];
    let after = last.earnings.total().expect("small").minus(last.held_back).expect("small");
    assert_eq!((statement.balance, moved.plus(after)), (balance, Ok(balance)));
    let all = statement.total.minus(statement.held_back).expect("small");
    assert_eq!(all, balance);
}

async fn a_statement_that_was_tampered_with_says_where(world: World) {
    let world = a_month(world).await;
    let good = world.billing.statement(node(1), month()).await.expect("a statement");
    let (own, roots) = own_side(&world).await;
    let words = |statement: &NodeStatement, own: &BTreeMap<Hour, Work>| {
        let findings = check(statement, own, &roots);
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };

    let mut less = good.clone();
    let hour = less.days[3].hours[2].hour;
    less.days[3].hours[2].work.served -= 1;
    let said = words(&less, &own);
    assert!(said.contains("are not under the day's root"), "{said}");
    assert!(said.contains("is not the sum of its hours"), "{said}");
    assert!(said.contains(&format!("{hour}: bytes served")), "{said}");

    let mut missing = good.clone();
    missing.days.remove(5);
    let said = words(&missing, &own);
    assert!(said.contains("is not the sum of its days"), "{said}");
    assert!(said.contains("the statement says 0"), "{said}");

    let mut other_root = good.clone();
    other_root.days[0].root = Hash([9; 32]);
    assert!(words(&other_root, &own).contains("not the one that was published"));

    let mut pay = good.clone();
    pay.total = pay.total.plus(Money::from_micros(1)).expect("small");
    assert!(words(&pay, &own).contains("earnings are not the sum"));

    let mut other_node = good.clone();
    other_node.node = Hash([2; 32]);
    assert!(words(&other_node, &own).contains("are not under the day's root"));

    // And a node that counted more is told by how much.
    let mut more = own.clone();
    more.get_mut(&hour).expect("the hour").served += 5;
    assert!(words(&good, &more).contains("5 less than counted"));
}

async fn a_statement_shows_disputes_and_prints(world: World) {
    let world = a_month(world).await;
    let hour = FIRST.hour(2);
    let own = Work { served: 99 * GB, ..Work::default() };
    let answer = Answer::Disputed { at: at(900, 0), own, ruling: None };
    world.billing.answer_tally(node(1), hour, &answer).await.expect("disputed");
    let statement = world.billing.statement(node(1), month()).await.expect("a statement");
    let html = statement.to_html();
    assert!(html.contains("Disputes") && html.contains("the node counted 99000000000"));
    let csv = statement.to_csv();
    let hours: usize = statement.days.iter().map(|day| day.hours.len()).sum();
    assert_eq!(csv.lines().count(), 1 + hours);
    assert!(csv.contains(",disputed,"));
    assert_eq!(statement.days[0].hours[0].work.served, 0);
    assert!(statement.days[0].hours.iter().any(|row| row.answer.is_some()));
    let class = CLASS.as_str();
    assert!(!csv.contains(class), "a node does not learn about customers' classes");
}

crate::on_every_engine!(
    an_invoice_is_what_was_charged,
    an_issued_invoice_never_changes,
    invoices_are_numbered_without_gaps,
    an_invoice_can_be_read_printed_and_imported,
    a_statement_proves_itself_to_its_node,
    a_statement_that_was_tampered_with_says_where,
    a_statement_shows_disputes_and_prints,
);
