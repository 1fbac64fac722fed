//! Sim: a network of volunteers' computers, simulated, under the gateway's real decisions.
//!
//! Nodes are simulated, and so is time. What is decided about them is decided by the code of the gateway: who shares a group and who takes a slot
//! over (`nodes::placement`), when a node is awake (`nodes::availability`), what its answers say of it (`nodes::score`, `nodes::vetting`), when it
//! is asked (`nodes::audits`), and what is repaired first (`upkeep::queue`, `nodes::outlook`). What the gateway does around them with a catalog and
//! connections is done here on bits: a segment is four sets of slots.
//!
//! | file | is |
//! |---|---|
//! | [`plan`] | what is to be simulated; the command line |
//! | [`chance`] | the one generator that everything random comes from |
//! | [`volunteer`] | people and their computers: rhythms, holidays, departures, rot, lies |
//! | [`net`] | their lines |
//! | [`groups`] | groups and segments: what is true, and what the gateway believes |
//! | [`world`] | time, the queue of events, and who is connected |
//! | [`workload`] | customers' writes |
//! | [`upkeep`] | audits, hand-overs and repair |
//! | [`checkers`] | what is readable and what is lost, by the truth alone |
//! | [`report`] | what came of it |
//!
//! **Same seed, same history**: nothing here asks the clock or the operating system for anything, no order depends on a hash map, and
//! [`report::Report::history`] is a hash over all that happened.

pub mod chance;
pub mod checkers;
pub mod groups;
pub mod net;
pub mod plan;
pub mod report;
pub mod upkeep;
pub mod volunteer;
pub mod workload;
pub mod world;

pub use plan::Plan;
pub use report::Report;
pub use world::World;
