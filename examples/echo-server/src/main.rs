//! Sends back what it receives.
//!
//! ```text
//! echo-server [ADDR]                                     127.0.0.1:7007 if none is given
//! loophost run --policy uring -- ./echo-server           the same, on io_uring
//! ```

use std::{env, error::Error, io, process::ExitCode};

use loophost::{
    net::{TcpListener, TcpStream},
    signal::signal,
    spawn,
    time::sleep,
};

const SIGTERM: i32 = 15;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    match serve(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: String) -> Result<(), Box<dyn Error>> {
    loophost::install_from_env()?;
    loophost::run(async {
        let listener = TcpListener::bind(address).await?;
        let mut end = signal(SIGTERM)?;
        println!("listening on {}", listener.local_addr()?);
        futures_lite::future::or(accept(listener), async {
            end.recv().await;
            Ok(())
        })
        .await
    })?
}

async fn accept(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(spawn(echo(stream))),
            // For want of descriptors, most likely: they come back when connections end.
            Err(error) => {
                eprintln!("echo-server: {error}");
                sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn echo(stream: TcpStream) {
    let (mut reader, mut writer) = (&stream, &stream);
    // A peer that is gone has no more to say.
    let _ = futures_lite::io::copy(&mut reader, &mut writer).await;
}
