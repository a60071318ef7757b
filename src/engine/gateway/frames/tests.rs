//! Frames on their way through, however they are cut into pieces.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Frames, HEAD};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ACK: [u8; HEAD] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

/// A frame of this kind, with a payload of as many bytes.
fn frame(kind: u8, flags: u8, stream: u8, length: u8) -> Vec<u8> {
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend((0..length).map(|at| at.wrapping_mul(7)));
    frame
}

/// What the library gets of what a client sends in pieces of these lengths, when our limit of streams
/// has changed.
async fn inward(sent: &[u8], pieces: &[usize]) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (frames, mut wire) = Frames::new(server, 100);
    frames.borrow_mut().announce(1);
    let mut got = Vec::new();
    let mut rest = sent;
    for length in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*length).min(rest.len()));
        rest = after;
        client.write_all(piece).await.unwrap();
        let mut buf = [0; 64];
        while let Some(Ok(read @ 1..)) = futures_util::FutureExt::now_or_never(wire.read(&mut buf))
        {
            got.extend_from_slice(&buf[..read]);
        }
    }
    drop(client);
    wire.read_to_end(&mut got).await.unwrap();
    got
}

proptest! {
    #[test]
    fn the_library_gets_everything_but_the_answer_to_our_settings(
        pieces in prop::collection::vec(1..40_usize, 1..10),
        lengths in prop::collection::vec(0..60_u8, 0..8),
    ) {
        let others: Vec<u8> = lengths.iter().flat_map(|length| frame(1, 4, 1, *length)).collect();
        let begin = [PREFACE, &frame(4, 0, 0, 6), &ACK].concat();
        // The first answer is to the library's SETTINGS, the second to ours.
        let sent = [&begin[..], &others, &ACK, &others].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(inward(&sent, &pieces));
        prop_assert_eq!(got, [&begin[..], &others, &others].concat());
    }

    #[test]
    fn a_client_gets_the_librarys_frames_whole_with_ours_between(
        pieces in prop::collection::vec(1..40_usize, 1..10),
        lengths in prop::collection::vec(0..60_u8, 1..8),
    ) {
        // Its SETTINGS say 7 streams, and go out with 100.
        let settings = |streams: u8| [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, streams];
        let others: Vec<u8> = lengths.iter().flat_map(|length| frame(0, 0, 1, *length)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let got = runtime.block_on(async {
            // So narrow that writes are cut anywhere.
            let (mut client, server) = tokio::io::duplex(pieces[0]);
            let (frames, mut wire) = Frames::new(server, 100);
            let write = async {
                wire.write_all(&settings(7)).await.unwrap();
                wire.flush().await.unwrap();
                wire.write_all(&others).await.unwrap();
                frames.borrow_mut().say_goodbye(5, 0, b"why");
                wire.write_all(&others).await.unwrap();
                wire.flush().await.unwrap();
                assert!(frames.borrow().is_flushed());
                wire.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let read = client.read_to_end(&mut got);
            let ((), read) = tokio::join!(write, read);
            read.unwrap();
            got
        });
        let goaway = [&[0, 0, 11, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0][..], b"why"].concat();
        prop_assert_eq!(got, [&settings(100)[..], &others, &goaway, &others].concat());
    }
}
