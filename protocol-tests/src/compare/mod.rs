//! The same requests on two clusters, and their answers compared field by field.

mod allowed;
mod allowed_of_2_8;
mod differences;
pub(crate) mod fields;
mod identity;
mod order;
mod recorder;
mod script;

use std::time::Duration;

use tokio::time::timeout;

use self::allowed::allowed;
use self::differences::{Exchange, differences};
use self::recorder::{Recorder, Versions, common_versions};
use crate::Result;
use crate::target::{NEWEST, Target};

/// Some fifty seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// Sends the script to both and prints each difference that is not allowed.
///
/// # Errors
/// When there is one, how many; when an allowance is needed no more, which.
pub(crate) async fn run(ours: &Target, theirs: &Target) -> Result<usize> {
    let versions = common_versions(theirs.address()).await?;
    let versions = in_both(versions, &common_versions(ours.address()).await?);
    // Side by side: most of the time each waits for time-outs of groups.
    let allowed = allowed(theirs.version(), theirs.choice().acl);
    let (ours, theirs) = tokio::try_join!(play(ours, &versions), play(theirs, &versions))?;
    let (found, unused) = differences(&ours, &theirs, &allowed);
    for difference in &found {
        println!("{difference}");
    }
    for allowed in &unused {
        println!("allowed without need: {} {} ({})", allowed.request, allowed.path, allowed.reason);
    }
    match (found.len(), unused.len()) {
        (0, 0) => Ok(ours.len()),
        (0, unused) => Err(format!("{unused} allowances that nothing needs").into()),
        (found, _) => Err(format!("{found} fields differ").into()),
    }
}

/// Prints what a cluster answers to the whole script.
///
/// # Errors
/// When the script could not be played to its end.
pub(crate) async fn transcript(of: &Target) -> Result {
    let versions = common_versions(of.address()).await?;
    for exchange in play(of, &versions).await? {
        println!("{}", exchange.request);
        for field in exchange.fields {
            println!("    {} {}", field.path, field.value);
        }
    }
    Ok(())
}

async fn play(target: &Target, versions: &Versions) -> Result<Vec<Exchange>> {
    let is_older = *target.version() < NEWEST;
    let mut recorder = Recorder::open(target.address(), versions, is_older).await?;
    let script = async {
        match target.choice().acl {
            true => script::run_with_authorizer(&mut recorder).await,
            false => script::run(&mut recorder).await,
        }
    };
    let played = timeout(PATIENCE, script).await;
    let exchanges = recorder.into_exchanges();
    let why = match played {
        Ok(Ok(())) => return Ok(exchanges),
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("not played to its end in {PATIENCE:?}"),
    };
    let last = exchanges.last().map_or("nothing", |exchange| exchange.request.as_str());
    Err(format!("{why}, after {last} on {}", target.choice()).into())
}

/// The versions that two clusters both list.
fn in_both(mut ours: Versions, theirs: &Versions) -> Versions {
    ours.retain(|api, versions| {
        let Some(theirs) = theirs.get(api) else { return false };
        let (first, last) =
            (*versions.start().max(theirs.start()), *versions.end().min(theirs.end()));
        *versions = first..=last;
        first <= last
    });
    ours
}
