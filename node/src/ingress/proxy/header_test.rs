//! Headers by table, cut into all kinds of pieces, and at random.

use proptest::prelude::*;

use super::*;

/// Feeds everything at once; gives the header and how many bytes it had.
fn read(bytes: &[u8]) -> Result<Option<(usize, Header)>, Fault> {
    Ok(match Reader::default().feed(bytes)? {
        Fed::More => None,
        Fed::Whole { taken, header } => Some((taken, header)),
    })
}

fn named(source: &str, destination: &str) -> Header {
    let end = |text: &str| text.parse().unwrap();
    Header::Named { source: end(source), destination: end(destination) }
}

/// A header of version 2.
fn binary(version_and_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version_and_command, family], &length[..], block].concat()
}

fn ends_block(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    [octets(source.ip()), octets(destination.ip()), ports].concat()
}

#[test]
fn lines_of_version_1_are_read() {
    let four = named("192.0.2.7:56324", "198.51.100.1:25");
    let six = named("[2001:db8::7]:1", "[2001:db8::25]:465");
    let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n", Ok(four)),
        ("PROXY TCP6 2001:db8::7 2001:db8::25 1 465\r\n", Ok(six)),
        ("PROXY UNKNOWN\r\n", Ok(Header::Unnamed)),
        (longest, Ok(Header::Unnamed)),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", Err("something is missing")),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", Err("something follows the ports")),
        ("PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n", Err("something follows the ports")),
        ("PROXY TCP4 2001:db8::7 2001:db8::25 1 2\r\n", Err("an address is wrong")),
        ("PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n", Err("an address is wrong")),
        ("PROXY TCP4 192.0.2.007 198.51.100.1 1 2\r\n", Err("an address is wrong")),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", Err("a port is wrong")),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", Err("a port is wrong")),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", Err("it is not a line of text")),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n", Err("a port is wrong")),
        ("PROXY UNKNOWN1\r\n", Err("it names neither TCP4 nor TCP6 nor UNKNOWN")),
        (
            "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            Err("it names neither TCP4 nor TCP6 nor UNKNOWN"),
        ),
        ("PROXY \r\n", Err("it names neither TCP4 nor TCP6 nor UNKNOWN")),
    ] {
        let expected = expected.map(|header| Some((line.len(), header)));
        assert_eq!(read(line.as_bytes()), expected.map_err(Fault::Malformed), "{line:?}");
    }
}

#[test]
fn what_is_no_header_is_known_at_once() {
    for text in
        ["EHLO client.example\r\n", "\x16\x03\x01", "PROXX", "proxy TCP4", "\r\n\r\nQUIT", " "]
    {
        assert_eq!(read(text.as_bytes()), Err(Fault::NotAHeader), "{text:?}");
    }
    for text in ["", "P", "PROXY ", "\r\n\r\n\0\r\nQUIT\n", "PROXY TCP4 192.0.2.7"] {
        assert_eq!(read(text.as_bytes()), Ok(None), "{text:?}");
    }
}

#[test]
fn a_line_has_at_most_107_bytes() {
    let line = |bytes: usize| {
        let padding = "x".repeat(bytes - "PROXY UNKNOWN \r\n".len());
        format!("PROXY UNKNOWN {padding}\r\n").into_bytes()
    };
    assert_eq!(read(&line(107)), Ok(Some((107, Header::Unnamed))));
    assert_eq!(read(&line(108)), Err(Fault::TooLong));
    let endless = [LINE_START, &[b'x'; 1000][..]].concat();
    let mut reader = Reader::default();
    assert_eq!(reader.feed(&endless), Err(Fault::TooLong));
    assert_eq!(reader.bytes.len(), MAX_LINE_BYTES, "no more is kept than a header may have");
}

#[test]
fn blocks_of_version_2_are_read() {
    let (source, destination) = ("192.0.2.7:56324", "198.51.100.1:25");
    let four = ends_block(source.parse().unwrap(), destination.parse().unwrap());
    let six = ends_block("[2001:db8::7]:1".parse().unwrap(), "[::1]:465".parse().unwrap());
    let extended = [&four[..], &[0x04, 0, 1, 0], &[0xe0; 300][..]].concat();
    let whole_named = Ok(named(source, destination));
    let family = "its address family is not TCP over IPv4 or IPv6";
    for (bytes, expected) in [
        (binary(0x21, 0x11, &four), whole_named),
        (binary(0x21, 0x11, &extended), whole_named),
        (binary(0x21, 0x21, &six), Ok(named("[2001:db8::7]:1", "[::1]:465"))),
        (binary(0x20, 0x00, &[]), Ok(Header::Unnamed)),
        (binary(0x20, 0x11, &[]), Ok(Header::Unnamed)),
        (binary(0x20, 0xff, &[1, 2, 3]), Ok(Header::Unnamed)),
        (binary(0x21, 0x00, &[]), Ok(Header::Unnamed)),
        (binary(0x21, 0x31, &[0; 216]), Ok(Header::Unnamed)),
        (binary(0x21, 0x11, &four[..11]), Err("its addresses are cut off")),
        (binary(0x21, 0x21, &four), Err("its addresses are cut off")),
        (binary(0x21, 0x12, &four), Err(family)),
        (binary(0x21, 0x10, &four), Err(family)),
        (binary(0x11, 0x11, &four), Err("its version or its command is unknown")),
        (binary(0x22, 0x11, &four), Err("its version or its command is unknown")),
    ] {
        let expected = expected.map(|header| Some((bytes.len(), header)));
        assert_eq!(read(&bytes), expected.map_err(Fault::Malformed), "{bytes:?}");
    }
}

#[test]
fn a_block_has_at_most_4_kib() {
    let bytes = binary(0x20, 0, &[0; MAX_BLOCK_BYTES]);
    assert_eq!(read(&bytes), Ok(Some((bytes.len(), Header::Unnamed))));
    let fixed = &binary(0x20, 0, &[0; MAX_BLOCK_BYTES + 1])[..FIXED_BYTES];
    assert_eq!(read(fixed), Err(Fault::TooLong), "known before the block comes");
}

fn any_end() -> impl Strategy<Value = (IpAddr, u16)> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ];
    (address, any::<u16>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in whatever pieces: the same header, and not a byte behind it.
    #[test]
    fn pieces_do_not_matter(
        source in any_end(),
        port in any::<u16>(),
        binary_form in any::<bool>(),
        extensions in proptest::collection::vec(any::<u8>(), 0..200),
        behind in proptest::collection::vec(any::<u8>(), 0..50),
        piece_len in 1usize..80,
    ) {
        let client = SocketAddr::from(source);
        let server = match client.ip() {
            IpAddr::V4(_) => SocketAddr::from(([198, 51, 100, 1], port)),
            IpAddr::V6(_) => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port)),
        };
        let bytes = if binary_form {
            let family = if client.is_ipv4() { 0x11 } else { 0x21 };
            binary(0x21, family, &[ends_block(client, server), extensions].concat())
        } else {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (client.ip(), server.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), port).into_bytes()
        };
        let stream = [&bytes[..], &behind].concat();
        let mut reader = Reader::default();
        let mut before = 0;
        let whole = stream.chunks(piece_len).find_map(|piece| match reader.feed(piece).unwrap() {
            Fed::More => { before += piece.len(); None }
            Fed::Whole { taken, header } => Some((before + taken, header)),
        });
        let header = Header::Named { source: client, destination: server };
        prop_assert_eq!(whole, Some((bytes.len(), header)));
    }

    /// Nothing panics, and what is kept is bounded.
    #[test]
    fn any_bytes_are_survived(
        start in prop_oneof![Just(LINE_START.to_vec()), Just(SIGNATURE.to_vec()), Just(Vec::new())],
        rest in proptest::collection::vec(any::<u8>(), 0..6000),
    ) {
        let mut reader = Reader::default();
        let _ = reader.feed(&[start, rest].concat());
        prop_assert!(reader.bytes.len() <= FIXED_BYTES + MAX_BLOCK_BYTES);
    }
}
