//! A websocket, with a crate that knows nothing of loophost.

use async_tungstenite::{accept_async, client_async, tungstenite::Message};
use futures_lite::StreamExt;
use loophost::{
    block_on,
    net::{TcpListener, TcpStream},
    policy, spawn,
};

use loophost_tests::on_each_loop;

async fn converse() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).await.unwrap(),
                Message::Close(_) => break,
                _ => {}
            }
        }
    });
    let stream = TcpStream::connect(address).await?;
    let (mut socket, _) = client_async(format!("ws://{address}/"), stream).await?;
    for size in [0, 1, 125, 126, 65_535, 65_536, 4 << 20] {
        let message = Message::binary(vec![size as u8; size]);
        socket.send(message.clone()).await?;
        assert_eq!(socket.next().await.unwrap()?, message);
    }
    for n in 0..1_000 {
        let message = Message::text(format!("message {n}"));
        socket.send(message.clone()).await?;
        assert_eq!(socket.next().await.unwrap()?, message);
    }
    socket.close(None).await?;
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    server.await?;
    Ok(())
}

#[test]
fn a_conversation_over_a_websocket() {
    on_each_loop(|on| {
        let event_loop = on.policy().new_event_loop().unwrap();
        policy::set_event_loop(Some(event_loop.clone())).unwrap();
        block_on(converse()).unwrap().unwrap_or_else(|error| panic!("{}: {error}", on.name));
        policy::set_event_loop(None).unwrap();
        event_loop.close().unwrap();
    });
}
