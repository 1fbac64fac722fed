//! The process's metrics, in Prometheus's text format.

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{
    Unit, describe_counter, describe_gauge, describe_histogram, gauge, set_global_recorder,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use super::AdminParts;

/// How often histograms fold what was recorded, so that nobody's not asking costs memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of the latency histograms, in seconds.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The handle of this process's recorder, installed at the first call. Later calls give the same one, so that several gateways in one
/// process (tests) share it. If somebody else installed a recorder before, the handle shows nothing, and nothing else is lost.
#[must_use]
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
            let recorder = builder.expect("the list of buckets is not empty").build_recorder();
            let handle = recorder.handle();
            if set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed; /metrics shows nothing");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    describe_counter!(
        "drystone_http_requests_total",
        "Requests by door, method and class of status."
    );
    describe_histogram!(
        "drystone_http_request_seconds",
        Unit::Seconds,
        "From a request's head to its answer's end."
    );
    describe_counter!(
        "drystone_http_received_bytes_total",
        Unit::Bytes,
        "Bytes of request bodies."
    );
    describe_counter!("drystone_http_sent_bytes_total", Unit::Bytes, "Bytes of answers' bodies.");
    describe_gauge!("drystone_http_connections", "Open connections by door.");
    describe_gauge!("drystone_nodes_online", "Nodes that are connected.");
    describe_gauge!(
        "drystone_nodes_needed",
        "Nodes that must be online for a write to be acknowledged."
    );
    describe_gauge!(
        "drystone_certificate_expires",
        Unit::Seconds,
        "When the certificate obtained by ACME ends, in seconds since 1970."
    );
    describe_gauge!("drystone_uptime_seconds", Unit::Seconds, "Since the gateway started.");
    describe_counter!("drystone_node_misbehaved_total", "Breaches of the protocol by node.");
    describe_counter!("drystone_audits_total", "Audits by what came of them.");
    describe_counter!("drystone_node_rank_changes_total", "Nodes that came to a rank.");
    describe_gauge!("drystone_nodes_by_rank", "Nodes by rank, also those that are offline.");
    describe_gauge!("drystone_repair_waiting", "Segments and groups in repair's queue.");
    describe_gauge!(
        "drystone_repair_stuck",
        "Segments and groups that cannot be repaired before nodes return or join."
    );
    describe_gauge!("drystone_repair_slots_filling", "Slots that changed hands and are filled.");
    describe_counter!("drystone_shards_repaired_total", "Shards that repair rebuilt.");
    describe_counter!(
        "drystone_repair_bytes_total",
        Unit::Bytes,
        "Bytes that repair read and wrote."
    );
}

/// Sets what is only known when asked for.
pub(super) fn observe(admin: &AdminParts) {
    gauge!("drystone_nodes_online").set(admin.nodes.online().len() as f64);
    gauge!("drystone_nodes_needed").set(admin.geometry.geometry().w as f64);
    gauge!("drystone_uptime_seconds").set(admin.started.elapsed().as_secs_f64());
}

/// Folds histograms for ever.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_install_gives_the_first_recorder() {
        let (first, second) = (install(), install());
        ::metrics::counter!("drystone_test_total").increment(3);
        assert!(first.render().contains("drystone_test_total 3"));
        assert!(second.render().contains("drystone_test_total 3"));
    }
}
