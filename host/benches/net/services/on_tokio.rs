//! On tokio's current-thread runtime.

use std::{convert::Infallible, io, net::TcpListener};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{BUFFER, body, response};
use crate::case::Protocol;

pub(super) fn serve(listener: TcpListener, protocol: Protocol, size: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match protocol {
                Protocol::Echo => drop(tokio::spawn(echo(stream))),
                Protocol::Http => drop(tokio::spawn(answer(stream, size))),
            }
        }
    })
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answer(stream: TcpStream, size: usize) {
    let body = body(size);
    let service = service_fn(async |_| Ok::<_, Infallible>(response(&body)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
