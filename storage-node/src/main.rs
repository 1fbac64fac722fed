//! `drystone-node`: lends disk space to a Drystone network.

use std::process::ExitCode;

use clap::Parser;
use drystone_storage_node::Cli;

/// Request bodies are large, short-lived buffers. The system's allocator gives each back to the kernel, which zeroes it again for the next.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads that run the node's tasks: links and answers. Disk work has its own.
const WORKERS: usize = 2;
/// Threads that wait for the disk.
const DISK_THREADS: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(DISK_THREADS)
        .thread_name("drystone-node")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("drystone-node: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(cli.run());
    // Whatever still waits for the disk must not keep the process from ending.
    runtime.shutdown_background();
    ExitCode::from(status)
}
