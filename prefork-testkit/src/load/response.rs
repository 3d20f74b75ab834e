//! Parses an HTTP/1 response from the bytes of a connection. It reads no socket.

use httparse::{EMPTY_HEADER, Header, Status, parse_chunk_size};

/// The largest head, chunk line or line of a trailer section, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// How much of a body is stored, in bytes. The rest is counted and dropped.
const MAX_BODY: usize = 64 * 1024;

const MAX_HEADERS: usize = 128;

/// A complete response, from which [`Load::pid_from`](super::Load::pid_from) reads the pid.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    status: u16,
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Response<'a> {
    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first header with this name, in any case, if its value is UTF-8.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        // The head was parsed before.
        parsed.parse(self.head).ok()?;
        value(parsed.headers, name)
    }

    /// Returns the body, without the encoding of chunks: the first 64 KiB.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Collects the bytes of one response after the other.
#[derive(Debug)]
pub(super) struct ResponseParser {
    /// Bytes that are not parsed yet.
    buffer: Vec<u8>,
    state: State,
    status: u16,
    head: Vec<u8>,
    body: Vec<u8>,
    is_persistent: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// A body of which this many bytes are missing.
    Body(u64),
    /// A body that ends with the connection.
    BodyUntilEnd,
    ChunkSize,
    /// A chunk of which this many bytes are missing, with the end of its line.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Complete,
}

/// Why bytes are no response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedResponse(pub(super) String);

type Parsed<T> = Result<T, MalformedResponse>;

impl ResponseParser {
    pub(super) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            state: State::Head,
            status: 0,
            head: Vec::new(),
            body: Vec::new(),
            is_persistent: false,
        }
    }

    /// Begins the next response.
    pub(super) fn reset(&mut self) {
        self.buffer.clear();
        self.state = State::Head;
        self.head.clear();
        self.body.clear();
    }

    /// Adds bytes. Returns whether the response is complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Parsed<bool> {
        self.buffer.extend_from_slice(bytes);
        // A head or a line cannot have become complete. Without this check, a server that sends
        // single bytes would make the parser read the head again for each of them.
        let can_advance = match self.state {
            State::Head | State::ChunkSize | State::Trailers => bytes.contains(&b'\n'),
            State::Body(_) | State::BodyUntilEnd | State::Chunk(_) | State::ChunkEnd => true,
            State::Complete => false,
        };
        if can_advance {
            while self.advance()? {}
        }
        let is_body = matches!(self.state, State::Body(_) | State::BodyUntilEnd);
        if !is_body && self.state != State::Complete && self.buffer.len() > MAX_HEAD {
            return Err(malformed("its head or a line of its body exceeds 64 KiB"));
        }
        if self.state == State::Complete && !self.buffer.is_empty() {
            return Err(malformed("bytes follow the response"));
        }
        Ok(self.state == State::Complete)
    }

    /// Returns whether the response is complete if the connection ends here.
    pub(super) fn is_complete_at_end(&self) -> bool {
        self.state == State::BodyUntilEnd
    }

    /// Returns whether the head has arrived.
    pub(super) fn has_head(&self) -> bool {
        self.state != State::Head
    }

    /// Returns whether the connection can be used for another request.
    pub(super) fn is_persistent(&self) -> bool {
        self.is_persistent
    }

    /// Returns the response, once it is complete.
    pub(super) fn response(&self) -> Response<'_> {
        Response {
            status: self.status,
            head: &self.head,
            body: &self.body,
        }
    }

    /// Parses the next part of the buffer. Returns whether there may be another one.
    fn advance(&mut self) -> Parsed<bool> {
        match self.state {
            State::Head => self.parse_head(),
            State::Body(missing) => {
                let missing = missing - self.take_body(missing);
                self.state = match missing {
                    0 => State::Complete,
                    _ => State::Body(missing),
                };
                Ok(false)
            }
            State::BodyUntilEnd => {
                self.take_body(u64::MAX);
                Ok(false)
            }
            State::ChunkSize => self.parse_chunk_size(),
            State::Chunk(missing) => {
                let missing = missing - self.take_body(missing);
                self.state = match missing {
                    0 => State::ChunkEnd,
                    _ => State::Chunk(missing),
                };
                Ok(missing == 0)
            }
            State::ChunkEnd => match self.buffer.get(..2) {
                None => Ok(false),
                Some(b"\r\n") => {
                    self.buffer.drain(..2);
                    self.state = State::ChunkSize;
                    Ok(true)
                }
                Some(_) => Err(malformed("a chunk is longer than its size")),
            },
            State::Trailers => {
                let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                    return Ok(false);
                };
                let is_last = self.buffer[..end].trim_ascii().is_empty();
                self.buffer.drain(..=end);
                if is_last {
                    self.state = State::Complete;
                }
                Ok(!is_last)
            }
            State::Complete => Ok(false),
        }
    }

    fn parse_head(&mut self) -> Parsed<bool> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        let length = match parsed.parse(&self.buffer) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(false),
            Err(error) => return Err(MalformedResponse(error.to_string())),
        };
        let status = parsed.code.expect("a complete head has a status");
        if (100..200).contains(&status) && status != 101 {
            // An interim response. The final one follows.
            self.buffer.drain(..length);
            return Ok(!self.buffer.is_empty());
        }
        let is_http_1_1 = parsed.version == Some(1);
        self.state = framing(status, parsed.headers)?;
        self.is_persistent = !matches!(self.state, State::BodyUntilEnd)
            && status != 101
            && !has_token(parsed.headers, "connection", "close")
            && (is_http_1_1 || has_token(parsed.headers, "connection", "keep-alive"));
        self.status = status;
        self.head.extend(self.buffer.drain(..length));
        if status == 101 {
            // What follows belongs to another protocol.
            self.buffer.clear();
        }
        Ok(self.state != State::Complete)
    }

    fn parse_chunk_size(&mut self) -> Parsed<bool> {
        match parse_chunk_size(&self.buffer) {
            Ok(Status::Partial) => Ok(false),
            Ok(Status::Complete((length, size))) if self.buffer[0].is_ascii_hexdigit() => {
                self.buffer.drain(..length);
                self.state = match size {
                    0 => State::Trailers,
                    _ => State::Chunk(size),
                };
                Ok(true)
            }
            Ok(Status::Complete(_)) | Err(_) => Err(malformed("invalid size of a chunk")),
        }
    }

    /// Moves bytes from the buffer to the body. Returns how many.
    fn take_body(&mut self, limit: u64) -> u64 {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let taken = self.buffer.len().min(limit);
        let stored = taken.min(MAX_BODY - self.body.len());
        self.body.extend_from_slice(&self.buffer[..stored]);
        self.buffer.drain(..taken);
        taken as u64
    }
}

/// Returns the pid in the header `x-worker-pid`, or else after the first `pid ` in the body.
pub(super) fn default_pid(response: &Response<'_>) -> Option<i32> {
    if let Some(pid) = response.header("x-worker-pid") {
        return pid.trim().parse().ok();
    }
    let body = response.body;
    let after = body.windows(4).position(|part| part == b"pid ")? + 4;
    let rest = &body[after..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// How the body ends (RFC 9112, section 6.3).
fn framing(status: u16, headers: &[Header<'_>]) -> Parsed<State> {
    if matches!(status, 101 | 204 | 304) {
        return Ok(State::Complete);
    }
    if has_token(headers, "transfer-encoding", "chunked") {
        return Ok(State::ChunkSize);
    }
    if value(headers, "transfer-encoding").is_some() {
        return Ok(State::BodyUntilEnd);
    }
    let lengths = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("content-length"));
    let mut length = None;
    for header in lengths {
        let number = str::from_utf8(header.value).ok();
        let number = number.and_then(|text| text.trim().parse::<u64>().ok());
        let number = number.ok_or_else(|| malformed("invalid content-length"))?;
        if length.is_some_and(|other| other != number) {
            return Err(malformed("two different values of content-length"));
        }
        length = Some(number);
    }
    Ok(match length {
        None => State::BodyUntilEnd,
        Some(0) => State::Complete,
        Some(length) => State::Body(length),
    })
}

fn value<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let mut headers = headers.iter();
    let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
    str::from_utf8(header.value).ok()
}

/// Whether a header with a list of words contains this one.
fn has_token(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn malformed(reason: &str) -> MalformedResponse {
    MalformedResponse(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses the bytes at once and one by one, which must not differ.
    fn parse(bytes: &[u8]) -> Parsed<(bool, ResponseParser)> {
        let mut whole = ResponseParser::new();
        let is_complete = whole.push(bytes)?;
        let mut single = ResponseParser::new();
        let mut was_complete = false;
        for byte in bytes {
            was_complete = single.push(&[*byte])?;
        }
        assert_eq!(is_complete, was_complete);
        assert_eq!(whole.state, single.state);
        assert_eq!(whole.body, single.body);
        Ok((is_complete, whole))
    }

    fn complete(bytes: &[u8]) -> ResponseParser {
        let (is_complete, parser) = parse(bytes).expect("a response");
        assert!(is_complete, "{parser:?}");
        parser
    }

    #[test]
    fn a_body_has_a_length_or_chunks_or_ends_with_the_connection() {
        let sized = complete(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(sized.response().body(), b"hello");
        assert!(sized.is_persistent());
        let chunked = complete(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
            3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
        );
        assert_eq!(chunked.response().body(), b"hello");
        assert!(chunked.is_persistent());
        let (is_complete, open) = parse(b"HTTP/1.1 200 OK\r\n\r\nhello").expect("a response");
        assert!(!is_complete && open.is_complete_at_end() && !open.is_persistent());
        assert_eq!(open.response().body(), b"hello");
    }

    #[test]
    fn responses_without_a_body_end_with_the_head() {
        for status in ["204 No Content", "304 Not Modified"] {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\n");
            assert!(complete(head.as_bytes()).is_persistent());
        }
        let switched = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello";
        let mut parser = ResponseParser::new();
        assert_eq!(parser.push(switched), Ok(true));
        assert!(!parser.is_persistent());
        assert_eq!(parser.response().status(), 101);
    }

    #[test]
    fn interim_responses_are_skipped() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1";
        assert_eq!(complete(bytes).response().status(), 200);
        let (is_complete, parser) = parse(b"HTTP/1.1 100 Continue\r\n\r\n").expect("a response");
        assert!(!is_complete && !parser.has_head());
    }

    #[test]
    fn the_connection_is_kept_as_the_server_decides() {
        let head = |version: &str, header: &str| {
            let text = format!("HTTP/{version} 200 OK\r\n{header}content-length: 0\r\n\r\n");
            complete(text.as_bytes()).is_persistent()
        };
        assert!(head("1.1", ""));
        assert!(!head("1.1", "Connection: Close\r\n"));
        assert!(!head("1.1", "connection: te, close\r\n"));
        assert!(!head("1.0", ""));
        assert!(head("1.0", "connection: keep-alive\r\n"));
    }

    #[test]
    fn bytes_that_are_no_response_are_malformed() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfive\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            let text = String::from_utf8_lossy(bytes);
            assert!(parse(bytes).is_err(), "{text}");
        }
        let twice = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert!(ResponseParser::new().push(twice).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let mut parser = ResponseParser::new();
        let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        head.resize(1 << 20, b'x');
        let result = head
            .chunks(16 * 1024)
            .try_for_each(|part| parser.push(part).map(drop));
        assert!(result.is_err() && parser.buffer.len() < 2 * MAX_HEAD);

        let mut parser = ResponseParser::new();
        assert_eq!(parser.push(b"HTTP/1.1 200 OK\r\n\r\n"), Ok(false));
        for _ in 0..100 {
            assert_eq!(parser.push(&[b'x'; 16 * 1024]), Ok(false));
        }
        assert_eq!(parser.response().body().len(), MAX_BODY);
        assert!(parser.buffer.is_empty());

        let mut parser = ResponseParser::new();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
        assert_eq!(parser.push(head), Ok(false));
        let result = (0..100).try_for_each(|_| parser.push(&[b'x'; 1024]).map(drop));
        assert!(result.is_err());
    }

    #[test]
    fn the_pid_is_in_a_header_or_in_the_body() {
        let pid = |header: &str, body: &str| {
            let length = body.len();
            let text = format!("HTTP/1.1 200 OK\r\n{header}content-length: {length}\r\n\r\n{body}");
            default_pid(&complete(text.as_bytes()).response())
        };
        assert_eq!(pid("X-Worker-Pid: 7\r\n", "pid 8\n"), Some(7));
        assert_eq!(pid("", "hello from worker 0 (pid 4711)\n"), Some(4711));
        assert_eq!(pid("", "rapid response"), None);
        assert_eq!(pid("", "hello"), None);
    }
}
