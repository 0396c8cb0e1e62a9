use bytes::Bytes;
use milena_engine::request::{Failure, RequestIds};
use milena_types::CorrelationId;
use milena_wire::messages::HeartbeatRequest;
use milena_wire::{Request, encode_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::oneshot;

use crate::net::ReplyTo;
use crate::net::frame::{FrameWriter, Frames};
use crate::net::reply::Reply;

/// F11.
#[tokio::test]
async fn frames_are_cut_right_wherever_the_stream_is_cut() {
    let mut bytes = Vec::new();
    for size in [0usize, 1, 3, 4, 5, 100] {
        bytes.extend_from_slice(&(size as i32).to_be_bytes());
        bytes.extend((0..size).map(|byte| byte as u8));
    }
    for pipe_bytes in [1, 2, 3, 5, 7, 64, 1024] {
        let (mut near, mut far) = duplex(pipe_bytes);
        let bytes = bytes.clone();
        let writer = tokio::spawn(async move { far.write_all(&bytes).await });
        let mut frames = Frames::new(100);
        for size in [0usize, 1, 3, 4, 5, 100] {
            let frame = frames.read(&mut near).await.unwrap();
            assert_eq!(frame, (0..size).map(|byte| byte as u8).collect::<Bytes>());
        }
        writer.await.unwrap().unwrap();
        assert_eq!(frames.read(&mut near).await.unwrap_err().to_string(), "closed by the peer");
    }
}

#[tokio::test]
async fn an_end_within_a_frame_is_told_from_one_between_frames() {
    let (mut near, mut far) = duplex(64);
    far.write_all(&[0, 0, 0, 9, 1, 2]).await.unwrap();
    drop(far);
    let error = Frames::new(100).read(&mut near).await.unwrap_err();
    assert_eq!(error.to_string(), "closed by the peer within a frame");
}

/// CVE-2026-10142: the stated length must not size the buffer.
#[tokio::test]
async fn a_large_length_without_bytes_takes_no_memory() {
    let (mut near, mut far) = duplex(64);
    far.write_all(&(90 * 1024 * 1024i32).to_be_bytes()).await.unwrap();
    drop(far);
    let mut frames = Frames::new(100 * 1024 * 1024);
    assert!(frames.read(&mut near).await.is_err());
    assert!(frames.capacity() <= 2 * 1024 * 1024, "{}", frames.capacity());
}

#[tokio::test]
async fn what_is_written_in_pieces_is_counted_by_whole_frames() {
    let (mut near, mut far) = duplex(10);
    let mut writer = FrameWriter::default();
    let mut whole = Vec::new();
    for _ in 0..3 {
        let request = Request::from(HeartbeatRequest::default());
        let frame = encode_request(&request, 4, CorrelationId::FIRST, None).unwrap();
        whole.extend_from_slice(&frame.clone().into_bytes());
        writer.push(frame);
    }
    let frame_bytes = whole.len() / 3;
    let (mut read, mut written, mut frames) = (Vec::new(), 0, 0);
    while written < whole.len() {
        let progress = writer.write(&mut near).await.unwrap();
        let mut piece = [0; 10];
        let taken = far.read(&mut piece).await.unwrap();
        read.extend_from_slice(&piece[..taken]);
        written += taken;
        frames += progress.frames;
        assert_eq!(frames, written / frame_bytes);
        assert_eq!(progress.is_next_begun, written % frame_bytes != 0);
    }
    assert_eq!(read, whole);
    assert!(writer.has_work(), "it is to be flushed");
    writer.write(&mut near).await.unwrap();
    assert!(!writer.has_work());
}

/// A pump that dies must not leave a caller waiting for ever.
#[tokio::test]
async fn a_reply_that_is_dropped_says_in_doubt() {
    let (sender, answer) = oneshot::channel();
    let id = RequestIds::default().deal();
    drop(Reply::new(id, ReplyTo::Caller(sender)));
    let answer = answer.await.unwrap();
    assert_eq!(answer.id, id);
    assert_eq!(answer.result.unwrap_err(), Failure::ConnectionLost);
}
