//! The flipped HTTP/2 connection: the node dialled, yet the gateway is the HTTP/2 client and the node the server, because
//! the gateway asks and the node answers. Here are the settings of both ends; [`crate::client`] and [`crate::server`] talk.

use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::limits::{self, LinkSettings};

/// The gateway's end.
pub(crate) fn client(
    settings: &LinkSettings,
) -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .initial_max_send_streams(settings.concurrent_streams as usize)
        .max_frame_size(limits::FRAME_MAX)
        .max_header_list_size(limits::HEADER_LIST_MAX)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        // Answers that were given up are remembered, all of them: what is still on its way is no error of the node.
        .max_concurrent_reset_streams(settings.concurrent_streams as usize)
        .max_local_error_reset_streams(limits::ERROR_RESETS)
        .keep_alive_interval(settings.keep_alive_interval)
        .keep_alive_timeout(settings.keep_alive_timeout)
        .keep_alive_while_idle(true);
    builder
}

/// The node's end.
pub(crate) fn server(
    settings: &LinkSettings,
) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_concurrent_streams(settings.concurrent_streams)
        .max_frame_size(limits::FRAME_MAX)
        .max_header_list_size(limits::HEADER_LIST_MAX)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        .max_local_error_reset_streams(limits::ERROR_RESETS)
        .keep_alive_interval(settings.keep_alive_interval)
        .keep_alive_timeout(settings.keep_alive_timeout)
        .auto_date_header(false);
    builder
}
