//! The program: its start, and the client commands against servers of all kinds.

mod components;
mod connection;
mod output;
mod plugin_new;
mod revisions;
mod start;
mod streams;
mod visible_text;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener},
    process::{Command, Output},
    thread,
};

use anyhow::Result;

fn tidegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
}

fn check(output: &Output, code: i32, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(stderr.contains(part), "{stderr}");
}

/// Answers each connection with `answer`, given the request's head; returns the server's URL.
fn raw_server(mut answer: impl FnMut(&str) -> String + Send + 'static) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let answer = answer(&head.join("\n"));
            thread::spawn(move || {
                stream.write_all(answer.as_bytes())?;
                // A body that is not read would reset the connection before the answer is.
                stream.shutdown(Shutdown::Write)?;
                std::io::copy(&mut stream, &mut std::io::sink())
            });
        }
        Ok(())
    });
    Ok(url)
}

/// A server that answers each request with `answer`, given its path and `last-event-id`.
fn server(
    mut answer: impl FnMut(&str, Option<&str>) -> (&'static str, String) + Send + 'static,
) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut path = String::new();
            let mut after = None;
            for line in BufReader::new(&stream).lines() {
                let line = line?;
                if let Some(id) = line.strip_prefix("last-event-id: ") {
                    after = Some(id.to_owned());
                }
                if path.is_empty() {
                    path = line;
                } else if line.is_empty() {
                    break;
                }
            }
            let path = path.split(' ').nth(1).unwrap_or_default();
            let (kind, body) = answer(path, after.as_deref());
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}"
            )?;
        }
        Ok(())
    });
    Ok(url)
}
