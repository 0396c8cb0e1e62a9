//! The same requests on two clusters, and their answers compared field by field.

mod allowed;
mod differences;
mod fields;
mod identity;
mod order;
mod recorder;
mod script;

use self::allowed::ALLOWED;
use self::differences::{Exchange, differences};
use self::recorder::{Recorder, Versions, common_versions};
use crate::Result;
use crate::target::Target;

/// Sends the script to both and prints each difference that is not allowed.
///
/// # Errors
/// When there is one, how many; when an allowance is needed no more, which.
pub(crate) async fn run(ours: &Target, theirs: &Target) -> Result<usize> {
    let versions = common_versions(theirs.address()).await?;
    let (ours, theirs) = (play(ours, &versions).await?, play(theirs, &versions).await?);
    let (found, unused) = differences(&ours, &theirs, ALLOWED);
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
    let mut recorder = Recorder::open(target.address(), versions).await?;
    script::run(&mut recorder).await?;
    Ok(recorder.into_exchanges())
}
