//! Salted passwords of users (KIP-554).

use milena_types::ErrorCode;
use milena_wire::Response;
use milena_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use milena_wire::messages::describe_user_scram_credentials_request::UserName;
use milena_wire::messages::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest,
};

use crate::world::World;

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

fn delete(user: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion { name: user.into(), mechanism }
}

fn set(user: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    let (salt, salted_password) = ("salt".into(), "salted".into());
    ScramCredentialUpsertion { name: user.into(), mechanism, iterations, salt, salted_password }
}

/// Who was told what, by users.
fn alter<const D: usize, const U: usize>(
    world: &mut World,
    deletions: [ScramCredentialDeletion; D],
    upsertions: [ScramCredentialUpsertion; U],
) -> Vec<(String, ErrorCode)> {
    let request = AlterUserScramCredentialsRequest {
        deletions: deletions.into(),
        upsertions: upsertions.into(),
    };
    let connection = world.connect_leader();
    let Response::AlterUserScramCredentials(told) = world.ask(connection, 0, request) else {
        panic!("another answer")
    };
    told.results.iter().map(|result| (result.user.to_string(), result.error_code)).collect()
}

/// As `u 1:4096 2:8192`, or the code of an error.
fn described(world: &mut World, users: Option<&[&str]>) -> Vec<String> {
    let users = users.map(|users| users.iter().map(|name| UserName { name: (*name).into() }));
    let request = DescribeUserScramCredentialsRequest { users: users.map(Iterator::collect) };
    let connection = world.connect_leader();
    let Response::DescribeUserScramCredentials(told) = world.ask(connection, 0, request) else {
        panic!("another answer")
    };
    let results = told.results.iter().map(|result| {
        let infos = result.credential_infos.iter();
        let infos = infos.map(|info| format!(" {}:{}", info.mechanism, info.iterations));
        let error = match result.error_code {
            ErrorCode::NONE => String::new(),
            code => format!(" {code}"),
        };
        format!("{}{}{error}", &*result.user, infos.collect::<String>())
    });
    results.collect()
}

fn ok(user: &str) -> (String, ErrorCode) {
    (user.to_owned(), ErrorCode::NONE)
}

#[test]
fn a_password_is_set_changed_and_removed_by_user_and_mechanism() {
    let mut world = World::new();
    assert_eq!(described(&mut world, None), [""; 0]);
    let both = [set("u", SHA_256, 4096), set("v", SHA_512, 16_384)];
    assert_eq!(alter(&mut world, [], both), [ok("u"), ok("v")]);
    assert_eq!(alter(&mut world, [], [set("u", SHA_512, 8192)]), [ok("u")]);
    assert_eq!(alter(&mut world, [], [set("v", SHA_512, 5000)]), [ok("v")]);
    assert_eq!(described(&mut world, None), ["u 1:4096 2:8192", "v 2:5000"]);
    assert_eq!(described(&mut world, Some(&["v"])), ["v 2:5000"]);
    let changes = alter(&mut world, [delete("u", SHA_256)], [set("w", SHA_256, 4096)]);
    assert_eq!(changes, [ok("u"), ok("w")]);
    assert_eq!(described(&mut world, Some(&[])), ["u 2:8192", "v 2:5000", "w 1:4096"]);
}

#[test]
fn passwords_outlive_the_process() {
    for restart in [World::restart, World::restart_compacted] {
        let mut world = World::new();
        alter(&mut world, [], [set("u", SHA_256, 4096), set("v", SHA_256, 4096)]);
        alter(&mut world, [delete("v", SHA_256)], []);
        restart(&mut world);
        assert_eq!(described(&mut world, None), ["u 1:4096"]);
    }
}

/// Kafka cannot derive keys from it.
#[test]
fn an_empty_password_is_an_error_of_the_server() {
    let mut world = World::new();
    let wish = ScramCredentialUpsertion { salted_password: "".into(), ..set("u", SHA_256, 4096) };
    let told = alter(&mut world, [], [wish]);
    assert_eq!(told, [("u".to_owned(), ErrorCode::UNKNOWN_SERVER_ERROR)]);
    assert_eq!(described(&mut world, None), [""; 0]);
}

#[test]
fn what_is_no_credential_is_refused_and_the_others_are_set() {
    let mut world = World::new();
    for (wish, code) in [
        (set("", SHA_256, 4096), ErrorCode::UNACCEPTABLE_CREDENTIAL),
        (set("u", 0, 4096), ErrorCode::UNSUPPORTED_SASL_MECHANISM),
        (set("u", 3, 4096), ErrorCode::UNSUPPORTED_SASL_MECHANISM),
        (set("u", SHA_256, 4095), ErrorCode::UNACCEPTABLE_CREDENTIAL),
        (set("u", SHA_512, 16_385), ErrorCode::UNACCEPTABLE_CREDENTIAL),
    ] {
        let user = wish.name.to_string();
        let told = alter(&mut world, [], [wish, set("v", SHA_256, 4096)]);
        assert_eq!(told, [(user, code), ok("v")]);
        assert_eq!(described(&mut world, None), ["v 1:4096"]);
    }
    for (wish, code) in [
        (delete("", SHA_256), ErrorCode::UNACCEPTABLE_CREDENTIAL),
        (delete("u", 9), ErrorCode::UNSUPPORTED_SASL_MECHANISM),
        (delete("u", SHA_256), ErrorCode::RESOURCE_NOT_FOUND),
        (delete("v", SHA_512), ErrorCode::RESOURCE_NOT_FOUND),
    ] {
        let user = wish.name.to_string();
        assert_eq!(alter(&mut world, [wish], []), [(user, code)]);
    }
    assert_eq!(described(&mut world, None), ["v 1:4096"]);
}

/// Even where it is by two mechanisms.
#[test]
fn a_user_who_comes_up_twice_is_left_as_he_is() {
    let mut world = World::new();
    alter(&mut world, [], [set("u", SHA_256, 4096), set("v", SHA_256, 4096)]);
    let twice = |user: &str| (user.to_owned(), ErrorCode::DUPLICATE_RESOURCE);
    let wishes = [set("v", SHA_256, 5000), set("v", SHA_512, 5000)];
    let told = alter(&mut world, [delete("u", SHA_256), delete("u", SHA_256)], wishes);
    assert_eq!(told, [twice("u"), twice("v")]);
    let told = alter(&mut world, [delete("u", SHA_256)], [set("u", SHA_512, 5000)]);
    assert_eq!(told, [twice("u")]);
    // The first refusal is what is told.
    let told = alter(&mut world, [delete("w", SHA_256)], [set("w", SHA_512, 5000)]);
    assert_eq!(told, [("w".to_owned(), ErrorCode::RESOURCE_NOT_FOUND)]);
    assert_eq!(described(&mut world, None), ["u 1:4096", "v 1:4096"]);
    let asked = described(&mut world, Some(&["u", "x", "u"]));
    assert_eq!(asked, ["u DUPLICATE_RESOURCE (92)", "x RESOURCE_NOT_FOUND (91)"]);
}
