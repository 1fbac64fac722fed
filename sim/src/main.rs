//! `sim`: simulates a network and prints what came of it.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use drystone_sim::{Plan, World};

fn main() -> ExitCode {
    let plan = Plan::parse();
    let (quiet, json, days) = (plan.quiet, plan.json, plan.days);
    let began = Instant::now();
    let world = match World::new(plan) {
        Ok(world) => world,
        Err(why) => {
            eprintln!("sim: {why}");
            return ExitCode::FAILURE;
        }
    };
    let report = world.run(|world, day| {
        if !quiet && (day <= 1 || day.is_multiple_of(7)) {
            eprintln!(
                "day {day} of {days}, {:.0} s: {} segments in {} groups, {} lost, {} to repair, {} stuck",
                began.elapsed().as_secs_f64(),
                world.tally.written,
                world.groups.len(),
                world.tally.losses.len(),
                world.tally.waiting,
                world.tally.stuck,
            );
        }
    });
    if json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("sim: the report cannot be written: {error}");
                return ExitCode::FAILURE;
            }
        }
    } else {
        print!("{report}");
    }
    ExitCode::SUCCESS
}
