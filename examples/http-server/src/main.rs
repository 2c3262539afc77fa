//! An HTTP server with hyper.
//!
//! ```text
//! http-server [ADDR]                                     127.0.0.1:8080 if none is given
//! loophost run --policy uring -- ./http-server           the same, on io_uring
//! ```
//!
//! `GET /` greets; `POST /echo` sends the body back while it comes.

use std::{convert::Infallible, env, error::Error, io, process::ExitCode, time::Duration};

use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use loophost::{
    net::{TcpListener, TcpStream},
    spawn,
    time::sleep,
};
use smol_hyper::rt::FuturesIo;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    match serve(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: String) -> Result<(), Box<dyn Error>> {
    loophost::install_from_env()?;
    loophost::run(async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(spawn(converse(stream))),
                // For want of descriptors, most likely: they come back when connections end.
                Err(error) => {
                    eprintln!("http-server: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })?
}

async fn converse(stream: TcpStream) {
    // Answers are small and wait for nothing.
    let _ = stream.set_nodelay(true);
    // A peer that is gone, or that speaks something else, has its answer by now.
    let _ = http1::Builder::new().serve_connection(FuturesIo::new(stream), service_fn(answer)).await;
}

async fn answer(request: Request<Incoming>) -> Result<Response<Either<Full<Bytes>, Incoming>>, Infallible> {
    let text = |text: &'static str| Full::new(Bytes::from_static(text.as_bytes()));
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/") => Response::new(Either::Left(text("hello\n"))),
        (&Method::POST, "/echo") => Response::new(Either::Right(request.into_body())),
        _ => {
            let mut response = Response::new(Either::Left(text("not found\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}
