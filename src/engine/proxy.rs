//! The CONNECT proxy: for servers that have Apple's push host compiled in.
//!
//! `HTTPS_PROXY` points here. A CONNECT to one of Apple's push hosts is answered by the gateway
//! itself; any other host is refused, so that this is no open proxy.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The hosts that end at the gateway.
pub(super) const PUSH_HOSTS: [&str; 3] = [
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
];

/// The most a CONNECT's head may have, in bytes.
const HEAD_MAX: usize = 8 * 1024;

/// Reads a CONNECT, answers it, and gives the connection back as the tunnel to the push host.
///
/// # Errors
/// When it is no CONNECT, or to another host; the client has been told.
pub(super) async fn accept(mut tcp: TcpStream) -> io::Result<TcpStream> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_MAX {
            return refuse(
                tcp,
                "431 Request Header Fields Too Large",
                "its head is too long",
            )
            .await;
        }
        // A byte at a time: what follows the head belongs to TLS.
        head.push(tcp.read_u8().await?);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(&head).is_err() {
        return refuse(tcp, "400 Bad Request", "it is no HTTP request").await;
    }
    if request.method != Some("CONNECT") {
        return refuse(tcp, "405 Method Not Allowed", "it is no CONNECT").await;
    }
    let target = request.path.unwrap_or_default().to_owned();
    let is_push_host = target
        .rsplit_once(':')
        .is_some_and(|(host, port)| PUSH_HOSTS.contains(&host) && matches!(port, "443" | "2197"));
    if !is_push_host {
        return refuse(tcp, "403 Forbidden", &format!("{target} is no push host")).await;
    }
    // Some clients look for exactly this reason phrase.
    tcp.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        .await?;
    Ok(tcp)
}

async fn refuse(mut tcp: TcpStream, status: &str, why: &str) -> io::Result<TcpStream> {
    let body = format!("mdmstorm carries connections to Apple's push hosts alone: {why}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await?;
    Err(io::Error::other(format!("a CONNECT was refused: {why}")))
}
