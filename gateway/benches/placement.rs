//! What it costs to know how likely a group is to be readable, and to choose its members.

use criterion::{Criterion, criterion_group, criterion_main};
use drystone_gateway::nodes::availability::{Chances, fewer_than, worst_hour};
use drystone_gateway::nodes::placement::{Candidate, choose};
use types::{GIB, GeometryName, NodeId};

/// A node that is asleep for eight hours, from another hour each.
fn chances(number: usize) -> Chances {
    Chances::by_hour(|hour| if (hour + number) % 24 < 8 { 0.3 } else { 0.95 })
}

fn candidate(number: usize) -> Candidate {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Candidate {
        id: NodeId(id),
        owner: None,
        subnet: None,
        region: None,
        vetted: true,
        trusted: true,
        free: 100 * GIB,
        chances: chances(number),
    }
}

fn benches(criterion: &mut Criterion) {
    let wide = GeometryName::Wide.geometry();
    let members: Vec<Chances> = (0..wide.n).map(chances).collect();
    let members: Vec<&Chances> = members.iter().collect();
    criterion.bench_function("the tail of one hour, k = 32 of r = 80", |bencher| {
        bencher.iter(|| fewer_than(wide.k, std::iter::repeat_n(0.75, wide.r)));
    });
    criterion.bench_function("the worst of 168 hours for 88 members", |bencher| {
        bencher.iter(|| worst_hour(&members, wide.k, wide.r));
    });
    let candidates: Vec<Candidate> = (0..2000).map(candidate).collect();
    criterion.bench_function("a group of 88 from 2000 candidates", |bencher| {
        let mut seed = 0_u64;
        bencher.iter(|| {
            choose(&wide, &candidates, 2000, || {
                seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                seed
            })
        });
    });
}

criterion_group!(placement, benches);
criterion_main!(placement);
