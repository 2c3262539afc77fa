//! Echo over TCP and HTTP with hyper: 64 bytes and 16 KiB, 50 connections and 1,000, on each loop; beside the same service on
//! tokio's current-thread runtime, and on epoll and io_uring alone (where HTTP is a fixed answer).
//!
//! `cargo bench -p loophost --bench net [-- NAME OF A SERVICE | PROTOCOL/BYTES/CONNECTIONS]…`, as in `-- tokio uring echo/64/1000`
//!
//! Each service is a process of its own, so that its CPU time can be told from that of the clients, which are all in this
//! one. All are there at the same time and take short turns, each of which begins with a request on every connection. Printed
//! are medians: requests per second of wall time, microseconds of the service's CPU time per request, and its ratio to
//! tokio's, turn by turn.

mod case;
mod clients;
mod services;

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

use crate::{case::Case, clients::Clients, services::Service};

/// How often all are started anew: where their memory lies counts too.
const ROUNDS: usize = 5;
/// How often each has its turn in a round.
const TURNS: usize = 12;
/// How many requests are measured in a turn: few, for a machine that others use too changes its speed within seconds.
const REQUESTS: u64 = 4_000;
/// How many go before them.
const WARM_UP: u64 = 1_000;
/// What this program is told to be instead: a service, by its name, the file of its policy, and what is asked of it.
const SERVE: &str = "--serve";

/// What a service has cost.
#[derive(Clone, Copy)]
struct Cost {
    /// Of the service, per request.
    cpu_us: f64,
    requests_per_second: f64,
}

fn main() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit").1;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).expect("it may be used");
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [serve, name, file, protocol, size] = &arguments[..]
        && serve == SERVE
    {
        let (protocol, size) = (protocol.parse().expect("a protocol"), size.parse().expect("a number"));
        return services::serve(name, file.as_ref(), protocol, size);
    }
    let (cases, names): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|argument| argument.contains('/'));
    let mut services = services::all();
    let known: Vec<String> = Case::all().map(|case| case.to_string()).collect();
    let unknown = cases.iter().find(|case| !known.contains(case));
    let unknown = unknown.or(names.iter().find(|name| services.iter().all(|service| *name != service.name)));
    if let Some(unknown) = unknown {
        let services: Vec<_> = services.iter().map(|service| service.name).collect();
        panic!("there is no {unknown}, but the services {services:?} and the cases {known:?}");
    }
    services.retain(|service| names.is_empty() || names.iter().any(|name| name == service.name));
    for case in Case::all().filter(|case| cases.is_empty() || cases.contains(&case.to_string())) {
        println!("\n{case}, {ROUNDS} rounds of {TURNS} turns of {REQUESTS} requests");
        let mut costs = vec![Vec::new(); services.len()];
        for _ in 0..ROUNDS {
            let mut loads: Vec<_> = services.iter().map(|service| Load::new(service, case)).collect();
            for turn in 0..TURNS {
                // Another one is first each time.
                for index in 0..loads.len() {
                    let index = (index + turn) % loads.len();
                    costs[index].push(loads[index].measure());
                }
            }
        }
        let tokio =
            services.iter().position(|service| service.name == "tokio").map(|index| costs[index].clone());
        for (service, costs) in services.iter().zip(costs) {
            let per_second = median(costs.iter().map(|cost| cost.requests_per_second));
            let cpu = median(costs.iter().map(|cost| cost.cpu_us));
            print!("  {:12}{per_second:8.0} requests/s{cpu:8.2} us of CPU", service.name);
            if let Some(tokio) = &tokio {
                let ratio = median(costs.iter().zip(tokio).map(|(ours, theirs)| ours.cpu_us / theirs.cpu_us));
                print!("{ratio:8.2} of tokio's");
            }
            println!();
        }
    }
}

/// A service and its clients.
struct Load {
    process: Started,
    clients: Clients,
}

impl Load {
    fn new(service: &Service, case: Case) -> Self {
        let mut process = Started::new(service, case);
        let clients = Clients::connect(process.port(), case);
        Self { process, clients }
    }

    fn measure(&mut self) -> Cost {
        self.clients.request(WARM_UP);
        let before = self.process.cpu_time();
        let took = self.clients.request(REQUESTS);
        let cpu = self.process.cpu_time() - before;
        Cost {
            cpu_us: cpu.as_secs_f64() * 1e6 / REQUESTS as f64,
            requests_per_second: REQUESTS as f64 / took.as_secs_f64(),
        }
    }
}

/// The process of a service, killed in the end.
struct Started(Child);

impl Started {
    fn new(service: &Service, case: Case) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args([SERVE, service.name]).arg(&service.file);
        command.args([case.protocol.to_string(), case.size.to_string()]).stdout(Stdio::piped());
        Self(command.spawn().expect("the service starts"))
    }

    /// The port that it listens on, which it prints.
    fn port(&mut self) -> u16 {
        let mut line = String::new();
        let output = self.0.stdout.take().expect("its output is a pipe, asked for once");
        BufReader::new(output).read_line(&mut line).expect("it can be read");
        line.trim().parse().expect("the service prints its port")
    }

    fn cpu_time(&self) -> Duration {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(self.0.id() as i32)).expect("the service runs");
        clock_gettime(clock).expect("the service runs").into()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
