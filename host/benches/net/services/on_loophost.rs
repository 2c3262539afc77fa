//! On a policy's loop.

use std::{convert::Infallible, io, net::TcpListener, path::Path};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use hyper::{server::conn::http1, service::service_fn};
use loophost::{Options, PolicyHandle, net::TcpStream, plugin, policy, policy::DefaultEventLoopPolicy};
use smol_hyper::rt::FuturesIo;

use super::{BUFFER, body, response};
use crate::case::Protocol;

pub(super) fn serve(listener: TcpListener, file: &Path, protocol: Protocol, size: usize) -> io::Result<()> {
    if file != "" {
        let plugin = plugin::load(file, &loophost_tests::trust()).expect("the plugin can be loaded");
        let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let made = plugin.new_policy(None, &Options::new(), Some(default)).expect("it makes its policy");
        policy::set_event_loop_policy(Some(made));
    }
    let served = loophost::run(async {
        let listener = loophost::net::TcpListener::try_from(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match protocol {
                Protocol::Echo => drop(loophost::spawn(echo(stream))),
                Protocol::Http => drop(loophost::spawn(answer(stream, size))),
            }
        }
    });
    served.expect("the loop runs")
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
    let _ = http1::Builder::new().serve_connection(FuturesIo::new(stream), service).await;
}
