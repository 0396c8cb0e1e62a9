//! AlterUserScramCredentials, DescribeUserScramCredentials.

use milena_types::ApiKey;
use milena_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use milena_wire::messages::describe_user_scram_credentials_request::UserName;
use milena_wire::messages::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest,
};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

const SHA_256: i8 = 1;
const SHA_512: i8 = 2;

/// Users of whom nothing is removed.
const KEPT: &str = "script-kept";
const CHANGED: &str = "script-changed";
const GONE: &str = "script-gone";

pub(super) async fn run(on: &mut Recorder) -> Result {
    describe(on, "no users", &[("all", &[]), ("an unknown one", &["nobody"])]).await?;
    alter(on).await?;
    // What is told of later is known by then.
    on.await_metadata("script-placed").await?;
    let asked: [(&str, &[&str]); 5] = [
        ("all", &[]),
        ("one", &[CHANGED]),
        ("one that is gone", &[GONE]),
        ("one twice", &["nobody", KEPT, "nobody"]),
        ("one without a name", &[""]),
    ];
    describe(on, "users", &asked).await
}

async fn describe(on: &mut Recorder, when: &str, asked: &[(&str, &[&str])]) -> Result {
    let key = ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS;
    for (what, users) in asked {
        let users = users.iter().map(|name| message!(UserName { name: (*name).into() }));
        let ask = message!(DescribeUserScramCredentialsRequest { users: Some(users.collect()) });
        on.ask_each(&format!("{when}: {what}"), key, 0..=99, |_| ask.clone()).await?;
    }
    let ask = message!(DescribeUserScramCredentialsRequest { users: None });
    on.ask_each(&format!("{when}: not said which"), key, 0..=99, |_| ask.clone()).await
}

/// A user, a mechanism, and the iterations unless the password is to be removed.
type Wish<'a> = (&'a str, i8, Option<i32>);

fn wishing(wishes: &[Wish<'_>]) -> AlterUserScramCredentialsRequest {
    let mut asked = AlterUserScramCredentialsRequest::default();
    for (user, mechanism, iterations) in wishes {
        let (name, mechanism) = ((*user).into(), *mechanism);
        match *iterations {
            None => asked
                .deletions
                .push(message!(ScramCredentialDeletion { name: name, mechanism: mechanism })),
            Some(iterations) => asked.upsertions.push(message!(ScramCredentialUpsertion {
                name: name,
                mechanism: mechanism,
                iterations: iterations,
                salt: "salt".into(),
                salted_password: vec![7; 32].into(),
            })),
        }
    }
    asked
}

async fn alter(on: &mut Recorder) -> Result {
    let key = ApiKey::ALTER_USER_SCRAM_CREDENTIALS;
    for (what, wishes) in [
        ("two users", &[(KEPT, SHA_256, Some(4096)), (CHANGED, SHA_512, Some(16_384))][..]),
        ("another mechanism", &[(CHANGED, SHA_256, Some(8192))]),
        ("another password", &[(CHANGED, SHA_256, Some(5000))]),
        ("one more user", &[(GONE, SHA_256, Some(4096))]),
        ("a user taken away", &[(GONE, SHA_256, None)]),
        ("what is not there, taken away", &[(GONE, SHA_256, None), (KEPT, SHA_512, None)]),
        ("nothing", &[]),
        ("nobody", &[("", SHA_256, Some(4096))]),
        ("nobody taken away", &[("", 9, None)]),
        ("no mechanism", &[("script-none", 0, Some(1)), ("script-none-either", 0, None)]),
        ("an unknown mechanism", &[("script-none", 3, Some(4096)), ("script-other", -1, None)]),
        ("too few iterations", &[("script-few", SHA_256, Some(4095))]),
        ("too few iterations of the other", &[("script-few", SHA_512, Some(4095))]),
        ("too many iterations", &[("script-many", SHA_256, Some(16_385))]),
        ("less than no iterations", &[("script-few", SHA_256, Some(-1))]),
        (
            "a user twice",
            &[(KEPT, SHA_256, Some(6000)), (KEPT, SHA_512, Some(6000)), (CHANGED, SHA_256, None)],
        ),
        (
            "a user three times",
            &[(KEPT, SHA_256, Some(6000)), (KEPT, SHA_256, Some(1)), (KEPT, SHA_256, Some(6000))],
        ),
        ("a user taken away and set", &[(KEPT, SHA_256, None), (KEPT, SHA_512, Some(6000))]),
        ("a user refused and set", &[(GONE, SHA_256, None), (GONE, SHA_512, Some(6000))]),
        ("a user taken away twice", &[(KEPT, SHA_256, None), (KEPT, SHA_256, None)]),
        ("one half of a user taken away", &[(CHANGED, SHA_256, None)]),
    ] {
        on.ask_each(what, key, 0..=99, |_| wishing(wishes)).await?;
    }
    let newest = on.newest(key);
    let mut unsalted = wishing(&[("script-unsalted", SHA_256, Some(4096))]);
    unsalted.upsertions[0].salt.clear();
    on.ask("without salt", newest, unsalted).await?;
    let mut empty = wishing(&[("script-empty", SHA_256, Some(4096))]);
    empty.upsertions[0].salted_password.clear();
    on.ask("an empty password", newest, empty).await?;
    Ok(())
}
