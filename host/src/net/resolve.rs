//! Names of hosts.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

/// The addresses of a name, looked up in a thread of the pool (asyncio: `getaddrinfo`).
pub(super) async fn resolve<A>(addresses: A) -> io::Result<Vec<SocketAddr>>
where
    A: ToSocketAddrs + Send + 'static,
    A::Iter: Send,
{
    let found: Vec<_> = blocking::unblock(move || addresses.to_socket_addrs().map(Iterator::collect)).await?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// The first address with which `f` works, or the error of the last.
pub(super) async fn first<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    mut f: impl FnMut(SocketAddr) -> F,
) -> io::Result<T> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for address in addresses {
        result = f(address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}
