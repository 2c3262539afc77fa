//! `embed-in-poll` on the loops that can be embedded.

use std::{
    io::{Read, Write},
    process::Stdio,
    thread,
    time::Duration,
};

use loophost::Capabilities;
use loophost_tests::{eventually, on_each_loop, program};

#[test]
fn lines_are_counted_while_the_loop_ticks() {
    on_each_loop(|on| {
        let event_loop = on.policy().new_event_loop().unwrap();
        let is_embeddable = event_loop.capabilities() & Capabilities::EMBEDDABLE != 0;
        event_loop.close().unwrap();
        let mut wait = Duration::from_millis(20);
        // The first tick comes when it comes: once it has had the time.
        eventually("ticks beside the lines", || {
            let mut command = on.run(program("embed-in-poll"), [""; 0]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            // Without the ability it is gone before it has read.
            let _ = stdin.write_all(b"one\ntwo\n");
            thread::sleep(wait);
            wait *= 2;
            let _ = stdin.write_all(b"three\n");
            drop(stdin);
            let (mut stdout, mut stderr) = (String::new(), String::new());
            child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            let status = child.wait().unwrap();
            if is_embeddable {
                assert_eq!(status.code(), Some(0), "{}: {stderr}", on.name);
                assert!(stdout.starts_with("3 lines; "), "{}: {stdout}", on.name);
                stdout.ends_with("ticks: yes\n").then_some(())
            } else {
                assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{}", on.name);
                assert!(stderr.contains("poll_handle"), "{stderr}");
                Some(())
            }
        });
    });
}
