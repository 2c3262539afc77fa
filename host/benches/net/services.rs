//! The services: each sends back what it receives.

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use loophost::{Options, PolicyHandle, plugin, policy, policy::DefaultEventLoopPolicy};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const BUFFER: usize = 16 * 1024;

pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// The file of its policy; empty for those without.
    pub(crate) file: PathBuf,
}

/// All of them, as far as they work on this machine.
pub(crate) fn all() -> Vec<Service> {
    let without_file = ["epoll", "tokio", "default"].map(|name| Service { name, file: PathBuf::new() });
    // select(2) is no match for so many connections.
    let plugins = loophost_tests::loop_plugins().into_iter().filter(|plugin| plugin.name != "c-policy");
    let plugins = plugins.map(|plugin| Service { name: plugin.name, file: plugin.file });
    without_file.into_iter().chain(plugins).collect()
}

/// Prints its port and serves until it is killed.
pub(crate) fn serve(name: &str, file: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.set_nonblocking(true).expect("it is a socket");
    println!("{}", listener.local_addr().expect("it is bound").port());
    match name {
        "epoll" => serve_on_epoll(&listener),
        "tokio" => serve_on_tokio(listener),
        _ => serve_on_loophost(listener, file),
    }
    .expect("connections are accepted");
}

fn serve_on_loophost(listener: TcpListener, file: &Path) -> io::Result<()> {
    if file != "" {
        let plugin = plugin::load(file, &loophost_tests::trust()).expect("the plugin can be loaded");
        let default = PolicyHandle::new(DefaultEventLoopPolicy::new());
        let made = plugin.new_policy(None, &Options::new(), Some(default)).expect("it makes its policy");
        policy::set_event_loop_policy(Some(made));
    }
    let served = loophost::run(async {
        let listener = loophost::net::TcpListener::try_from(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            loophost::spawn(async move {
                let mut buffer = vec![0; BUFFER];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    served.expect("the loop runs")
}

fn serve_on_tokio(listener: TcpListener) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let mut buffer = vec![0; BUFFER];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}

/// The least that there can be: no tasks, level-triggered, one buffer for all.
fn serve_on_epoll(listener: &TcpListener) -> io::Result<()> {
    const LISTENER: u64 = u64::MAX;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let (mut streams, mut accepted) = (HashMap::new(), 0);
    let (mut events, mut buffer) = (vec![EpollEvent::empty(); 1024], vec![0; BUFFER]);
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == LISTENER {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, accepted))?;
                streams.insert(accepted, stream);
                accepted += 1;
                continue;
            }
            let Some(stream) = streams.get_mut(&event.data()) else { continue };
            match stream.read(&mut buffer) {
                // Its socket has room for one answer, and has sent the one before.
                Ok(read @ 1..) => stream.write_all(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => drop(streams.remove(&event.data())),
            }
        }
    }
}
