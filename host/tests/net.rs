//! Sockets and other descriptors in async code, on each loop.

mod every_loop;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use every_loop::{block_on, run};
use futures_lite::{AsyncReadExt, AsyncWriteExt, StreamExt, future};
use loophost::{
    Stat,
    io::Async,
    net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream},
    policy, spawn, spawn_blocking,
    time::{sleep, timeout},
};

const LOCAL: &str = "127.0.0.1:0";
/// More than a socket's buffers hold.
const MUCH: usize = 8 << 20;

async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(LOCAL).await?;
    let (near, far) = future::try_zip(TcpStream::connect(listener.local_addr()?), listener.accept()).await?;
    Ok((near, far.0))
}

#[test]
fn on_the_loops_of_each_plugin() {
    every_loop::repeat();
}

#[test]
fn much_data_goes_both_ways_at_once() {
    run(async {
        let (near, far) = pair().await?;
        let echo = spawn(async move {
            let (mut reader, mut writer) = (&far, &far);
            futures_lite::io::copy(&mut reader, &mut writer).await?;
            writer.close().await
        });
        let data: Vec<u8> = (0..MUCH).map(|n| (n * 7 + n / 251) as u8).collect();
        let mut back = Vec::new();
        let (mut reader, mut writer) = (&near, &near);
        let send = async {
            writer.write_all(&data).await?;
            writer.close().await
        };
        future::try_zip(send, reader.read_to_end(&mut back)).await?;
        echo.await.unwrap()?;
        assert!(back == data, "what comes back is what was sent");
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_listener_gives_one_connection_after_the_other() {
    run(async {
        let mut listener = TcpListener::bind("localhost:0").await?;
        let address = listener.local_addr()?;
        let clients = spawn(async move {
            for n in 0..100u8 {
                TcpStream::connect(address).await?.write_all(&[n]).await?;
            }
            io::Result::Ok(())
        });
        for n in 0..100u8 {
            let mut stream = listener.next().await.unwrap()?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            assert_eq!(byte, [n]);
            assert_eq!(stream.peer_addr()?.ip(), address.ip());
        }
        clients.await.unwrap()
    })
    .unwrap()
    .unwrap();
}

/// The standard library would have 128 of them, and the others wait in their connect.
#[test]
fn hundreds_of_connections_wait_to_be_accepted() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let many: usize = 300.min(most);
    run(async {
        let listener = TcpListener::bind(LOCAL).await?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let of_unix = UnixListener::bind(&path)?;
        let address = listener.local_addr()?;
        let mut waiting = Vec::new();
        for _ in 0..many {
            waiting.push(timeout(Duration::from_secs(60), TcpStream::connect(address)).await??);
        }
        for _ in 0..many {
            timeout(Duration::from_secs(60), UnixStream::connect(&path)).await??;
        }
        for _ in 0..many {
            listener.accept().await?;
            of_unix.accept().await?;
        }
        Ok::<_, io::Error>(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_refused_connection_and_an_unknown_name_are_errors() {
    run(async {
        let free = TcpListener::bind(LOCAL).await.unwrap().local_addr().unwrap();
        let refused = TcpStream::connect(free).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(TcpStream::connect("no such name:1").await.is_err());
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        let missing = UnixStream::connect("/nothing/there").await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    })
    .unwrap();
}

#[test]
fn the_second_of_two_addresses_is_taken_if_the_first_does_not_answer() {
    run(async {
        let nobody = TcpListener::bind(LOCAL).await?.local_addr()?;
        let listener = TcpListener::bind(LOCAL).await?;
        let there = listener.local_addr()?;
        static BOTH: OnceLock<[SocketAddr; 2]> = OnceLock::new();
        let stream = TcpStream::connect(&BOTH.get_or_init(|| [nobody, there])[..]).await?;
        assert_eq!(stream.peer_addr()?, there);
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_peer_that_resets_is_an_error_and_the_loop_goes_on() {
    run(async {
        let (mut near, far) = pair().await?;
        near.write_all(b"never read").await?;
        // Closed with data unread, TCP resets.
        drop(far);
        let mut buffer = [0; 16];
        let error = loop {
            match near.write_all(&[0; 4096]).await {
                Ok(()) => sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset),
            "{error}"
        );
        assert!(matches!(near.read(&mut buffer).await, Ok(0) | Err(_)));
        let (mut near, mut far) = pair().await?;
        far.write_all(b"on").await?;
        near.read_exact(&mut buffer[..2]).await
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_half_closed_stream_still_reads() {
    run(async {
        let (near, mut far) = pair().await?;
        near.shutdown(Shutdown::Write)?;
        let mut nothing = Vec::new();
        far.read_to_end(&mut nothing).await?;
        assert!(nothing.is_empty());
        far.write_all(b"answer").await?;
        drop(far);
        let mut answer = String::new();
        let mut reader = &near;
        reader.read_to_string(&mut answer).await?;
        assert_eq!(answer, "answer");
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_read_that_was_given_up_loses_nothing() {
    run(async {
        let (mut near, far) = pair().await?;
        let mut first = &far;
        let mut buffer = [0; 4];
        assert!(timeout(Duration::from_millis(1), first.read(&mut buffer)).await.is_err());
        near.write_all(b"data").await?;
        let mut second = &far;
        second.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"data");
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

/// Lets a future begin to wait, and gives it up.
async fn give_up<F: Future>(future: F) {
    assert!(future::poll_once(future).await.is_none(), "it has something to wait for");
}

#[test]
fn every_operation_may_be_given_up_in_the_middle_and_loses_nothing() {
    run(async {
        let listener = TcpListener::bind(LOCAL).await?;
        give_up(listener.accept()).await;
        // Refused, if the thread that resolves the name is that fast.
        drop(future::poll_once(TcpStream::connect("localhost:1")).await);
        let near = TcpStream::connect(listener.local_addr()?).await?;
        let (far, _) = listener.accept().await?;

        let (mut buffer, mut reader, mut writer) = ([0; 4], &far, &near);
        give_up(reader.read(&mut buffer)).await;
        give_up(reader.read_vectored(&mut [io::IoSliceMut::new(&mut [0; 4])])).await;
        give_up(far.peek(&mut buffer)).await;
        writer.write_all(b"data").await?;
        assert_eq!(far.peek(&mut buffer).await?, 4);
        buffer.fill(0);
        reader.read_exact(&mut buffer).await?;
        assert_eq!(&buffer, b"data");

        // What was told as written arrives, and nothing else.
        let mut written = 0;
        while let Some(count) = future::poll_once(writer.write(&[1; 4096])).await {
            written += count?;
        }
        give_up(writer.write_vectored(&[io::IoSlice::new(b"no more")])).await;
        writer.close().await?;
        let mut read = Vec::new();
        reader.read_to_end(&mut read).await?;
        assert_eq!(read.len(), written);

        let socket = UdpSocket::bind(LOCAL).await?;
        give_up(socket.recv_from(&mut buffer)).await;
        socket.connect(socket.local_addr()?).await?;
        give_up(socket.recv(&mut buffer)).await;
        socket.send(b"me").await?;
        assert_eq!(socket.recv(&mut buffer).await?, 2);

        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        give_up(listener.accept()).await;
        let client = UnixStream::connect(folder.path().join("socket"));
        future::try_zip(client, listener.accept()).await?;
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn datagrams_keep_their_bounds() {
    run(async {
        let (near, far) = (UdpSocket::bind(LOCAL).await?, UdpSocket::bind(LOCAL).await?);
        near.send_to(b"one", far.local_addr()?).await?;
        near.send_to(b"", far.local_addr()?).await?;
        let mut buffer = [0; 16];
        assert_eq!(far.recv_from(&mut buffer).await?, (3, near.local_addr()?));
        assert_eq!(far.recv_from(&mut buffer).await?, (0, near.local_addr()?));
        far.connect(near.local_addr()?).await?;
        near.connect(far.local_addr()?).await?;
        far.send(b"two").await?;
        assert_eq!(near.recv(&mut buffer).await?, 3);
        assert_eq!(&buffer[..3], b"two");
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn unix_sockets_work_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    run(async {
        let listener = UnixListener::bind(&path)?;
        let (mut near, mut far) = future::try_zip(UnixStream::connect(&path), listener.accept()).await?;
        near.write_all(b"x").await?;
        far.read_exact(&mut [0]).await?;
        let (mut near, mut far) = UnixStream::pair()?;
        far.write_all(b"y").await?;
        near.read_exact(&mut [0]).await?;
        near.close().await?;
        assert_eq!(far.read(&mut [0]).await?, 0);
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn several_tasks_may_wait_for_one_descriptor() {
    run(async {
        let (reader, mut writer) = io::pipe()?;
        let reader = Arc::new(Async::new(reader)?);
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let reader = reader.clone();
                spawn(async move { reader.read_with(|mut pipe| pipe.read(&mut [0])).await })
            })
            .collect();
        sleep(Duration::from_millis(1)).await;
        writer.write_all(&[0; 5])?;
        for task in tasks {
            assert_eq!(task.await.unwrap()?, 1);
        }
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn readiness_itself_can_be_waited_for() {
    run(async {
        let (reader, mut writer) = io::pipe()?;
        let reader = Async::new(reader)?;
        assert!(timeout(Duration::from_millis(1), reader.readable()).await.is_err());
        writer.write_all(b"x")?;
        reader.readable().await?;
        reader.get_ref().read_exact(&mut [0])?;
        drop(writer);
        reader.readable().await?;
        assert_eq!(reader.get_ref().read(&mut [0])?, 0);
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn what_was_read_in_part_is_readable_still() {
    run(async {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(b"xy")?;
        let reader = Async::new(reader)?;
        for _ in 0..2 {
            timeout(Duration::ZERO, reader.readable()).await.expect("it is ready")?;
            reader.get_ref().read_exact(&mut [0])?;
        }
        io::Result::Ok(())
    })
    .unwrap()
    .unwrap();
}

#[test]
fn a_regular_file_is_always_ready() {
    run(async {
        let file = Async::new(tempfile::tempfile()?)?;
        file.readable().await?;
        file.writable().await
    })
    .unwrap()
    .unwrap();
}

#[test]
fn without_a_loop_it_is_an_error() {
    let (reader, _writer) = io::pipe().unwrap();
    let reader = Async::new(reader).unwrap();
    let mut waiting = Box::pin(reader.readable());
    let waker = std::task::Waker::noop();
    let poll = Pin::new(&mut waiting).poll(&mut std::task::Context::from_waker(waker));
    let std::task::Poll::Ready(Err(error)) = poll else { panic!("{poll:?}") };
    assert_eq!(error.to_string(), "no event loop is running in this thread");
}

#[test]
fn a_stream_goes_from_one_loop_to_another() {
    let (mut near, far) = run(async {
        let (mut near, far) = pair().await?;
        near.write_all(b"1").await?;
        let mut reader = &far;
        reader.read_exact(&mut [0]).await?;
        io::Result::Ok((near, far))
    })
    .unwrap()
    .unwrap();
    let other = std::thread::spawn(move || {
        run(async {
            let mut reader = &far;
            reader.read_exact(&mut [0]).await
        })
    });
    run(async { near.write_all(b"2").await }).unwrap().unwrap();
    other.join().unwrap().unwrap().unwrap();
}

#[test]
fn dropped_in_another_thread_it_is_closed_when_its_loop_has_let_go_of_it() {
    run(async {
        let (near, far) = pair().await?;
        assert!(timeout(Duration::from_millis(1), async { (&near).read(&mut [0]).await }).await.is_err());
        spawn_blocking(move || drop(near)).await.unwrap();
        let mut reader = &far;
        assert_eq!(reader.read(&mut [0]).await?, 0, "the other end hears of it");
        // Its number may be given out again, and can be watched.
        let (near, mut far) = pair().await?;
        far.write_all(b"x").await?;
        let mut reader = &near;
        reader.read_exact(&mut [0]).await
    })
    .unwrap()
    .unwrap();
}

#[test]
fn two_loops_may_read_from_the_same_one() {
    const COUNT: usize = 2_000;
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let (heard, received) = mpsc::channel();
    let readers = [near.clone(), near].map(|near| {
        let heard = heard.clone();
        std::thread::spawn(move || {
            run(async {
                loop {
                    let mut byte = [0];
                    let read = near.read_with(|mut near| near.read(&mut byte)).await?;
                    if read == 0 {
                        return io::Result::Ok(());
                    }
                    heard.send(byte[0]).unwrap();
                }
            })
        })
    });
    for n in 0..COUNT {
        far.write_all(&[n as u8]).unwrap();
        assert_eq!(received.recv_timeout(Duration::from_secs(60)).unwrap(), n as u8);
    }
    drop(far);
    for reader in readers {
        reader.join().unwrap().unwrap().unwrap();
    }
}

#[test]
fn one_loop_may_read_from_it_while_another_writes_to_it() {
    const MUCH: usize = 1 << 20;
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let there = near.clone();
    let writer = std::thread::spawn(move || {
        run(async {
            let mut left = MUCH;
            while left > 0 {
                left -= there.write_with(|mut there| there.write(&[7; 4096][..left.min(4096)])).await?;
            }
            there.get_ref().shutdown(Shutdown::Write)
        })
    });
    let echo = std::thread::spawn(move || io::copy(&mut &far, &mut &far).map(|count| drop((far, count))));
    let read = run(async {
        let mut count = 0;
        loop {
            match near.read_with(|mut near| near.read(&mut [0; 4096])).await? {
                0 => return io::Result::Ok(count),
                read => count += read,
            }
        }
    });
    assert_eq!(read.unwrap().unwrap(), MUCH);
    writer.join().unwrap().unwrap().unwrap();
    echo.join().unwrap().unwrap();
}

#[test]
fn who_waits_does_not_depend_on_the_loop_of_another() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let there = near.clone();
    let (waiting, is_waiting) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        run(async {
            let read = there.read_with(|mut there| there.read(&mut [0]));
            let (read, ()) = future::zip(read, async { waiting.send(()).unwrap() }).await;
            read
        })
    });
    is_waiting.recv().unwrap();
    let gave_up = run(timeout(Duration::from_millis(1), near.read_with(|mut near| near.read(&mut [0]))));
    assert!(gave_up.unwrap().is_err(), "there is nothing to read yet");
    far.write_all(b"x").unwrap();
    assert_eq!(reader.join().unwrap().unwrap().unwrap(), 1);
}

#[test]
fn it_is_closed_when_all_loops_have_let_go_of_it() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let loops = [near.clone(), near.clone()].map(|near| {
        let (gave_up, has_given_up) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            run(async {
                assert!(timeout(Duration::from_millis(1), near.readable()).await.is_err());
                drop(near);
                gave_up.send(()).unwrap();
                // The loop goes on.
                spawn_blocking(move || ended.recv().unwrap()).await.unwrap();
            })
        });
        has_given_up.recv().unwrap();
        (thread, end)
    });
    drop(near);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    for (thread, end) in loops {
        end.send(()).unwrap();
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_loop_that_it_has_left_is_not_woken_for_it() {
    const MESSAGES: u64 = 100;
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let turns = run(async {
        let event_loop = policy::get_running_loop().unwrap();
        pass_a_byte(&near, &mut far).await;
        let before = event_loop.stat(Stat::TURNS);
        let elsewhere = spawn_blocking(move || {
            run(async {
                for _ in 0..MESSAGES {
                    pass_a_byte(&near, &mut far).await;
                }
                (near, far)
            })
        });
        let (near, mut far) = elsewhere.await.unwrap().unwrap();
        // Not every loop counts its turns.
        let turns = event_loop.stat(Stat::TURNS).zip(before).map_or(0, |(after, before)| after - before);
        // It may come back.
        pass_a_byte(&near, &mut far).await;
        turns
    });
    let turns = turns.unwrap();
    assert!(turns < MESSAGES / 4, "turns: {turns}");
}

#[test]
fn a_loop_that_runs_and_one_that_comes_and_goes_may_share_it() {
    const MESSAGES: usize = 2_000;
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Arc::new(Async::new(near).unwrap());
    let mut far_too = far.try_clone().unwrap();
    let there = near.clone();
    // Each writes before it reads, so there is a byte for it, whichever.
    let elsewhere = std::thread::spawn(move || {
        run(async {
            for _ in 0..MESSAGES {
                far_too.write_all(b"x").unwrap();
                assert_eq!(there.read_with(|mut there| there.read(&mut [0])).await.unwrap(), 1);
            }
        })
    });
    for _ in 0..MESSAGES {
        far.write_all(b"x").unwrap();
        assert_eq!(block_on(near.read_with(|mut near| near.read(&mut [0]))).unwrap().unwrap(), 1);
    }
    elsewhere.join().unwrap().unwrap();
}

/// Reads a byte that is written when it is waited for.
async fn pass_a_byte(near: &Async<std::os::unix::net::UnixStream>, far: &mut std::os::unix::net::UnixStream) {
    let read = near.read_with(|mut near| near.read(&mut [0]));
    // The other loop sees each as an edge of its own.
    let write = async {
        sleep(Duration::from_millis(1)).await;
        far.write_all(b"x")
    };
    assert_eq!(future::try_zip(read, write).await.expect("nothing is closed").0, 1);
}
