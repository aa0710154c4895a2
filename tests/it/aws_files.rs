//! `~/.aws` and what names a place in it. tests/aws compares it with botocore on made-up files.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

use crate::stage::stdout::RUNNING;
use crate::stage::{AWSSECRET, Answer, Ended, Metadata, SECRET, Stage, each_at_once, profile};

const CREDENTIALS: &str = "root/.aws/credentials";
const CONFIG: &str = "root/.aws/config";

/// A stage whose instance has a role, which is what nothing here must end with.
fn with_a_role() -> (Stage, Metadata) {
    let (stage, metadata) = Stage::without_keys();
    metadata.give_role("web", "ROLE");
    (stage, metadata)
}

fn status(stage: &Stage, environment: &[(&str, &str)]) -> Ended {
    environment.iter().fold(stage.call(["status"]), |call, (name, value)| call.env(name, value)).run()
}

/// Demands that start, stop and status are refused at once, in one line with these parts.
fn is_refused(stage: &Stage, environment: &[(&str, &str)], told: &[&str]) {
    for (action, stdout, code) in [("start", "", 6), ("stop", "", 6), ("status", "unknown\n", 4)] {
        let call = environment.iter().fold(stage.call([action]), |call, (name, value)| call.env(name, value));
        let ended = call.run();
        ended.says(stdout, code);
        ended.complains_once_of(told);
    }
    assert_eq!(stage.ec2.actions(), [""; 0]);
}

// Fails when `check` looks for keys in another way than a start.
#[test]
fn check_tells_of_a_named_profile_without_keys() {
    for (section, told) in [
        ("[profile failovr]", "no profile \"failover\""),
        ("[profile failover]\nregion = eu-west-1", "no keys for profile \"failover\""),
        ("[profile failover]\ncredential_process = /bin/keys", "credential_process"),
        ("[profile failover]\nsso_account_id = 123456789012\nsso_role_name = web", "SSO"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.write(CONFIG, format!("{section}\n"));
        let ended = stage.call(["check"]).env("AWS_PROFILE", "failover").run();
        assert_eq!(ended.code(), 1, "{ended:?}");
        assert!(ended.stdout.contains(told) && ended.stdout.ends_with("not ready\n"), "{ended:?}");
    }
}

// Fails when a profile that gives no keys is a reason to go on to the next place.
#[test]
fn a_named_profile_without_keys_is_refused_by_its_name_and_never_another_identity() {
    for (section, told) in [
        ("role_arn = arn:aws:iam::123456789012:role/failover", "source_profile"),
        ("role_arn = arn:aws:iam::123456789012:role/failover\nsource_profile = nobody", "does not exist"),
        ("role_arn = arn:aws:iam::123456789012:role/failover\nsource_profile = failover", "leads back to itself"),
        ("role_arn = arn:aws:iam::123456789012:role/failover\nsource_profile = a\ncredential_source = Environment", "remove one"),
        ("role_arn = arn:aws:iam::123456789012:role/failover\ncredential_source = EcsContainer", "Ec2InstanceMetadata"),
        ("role_arn = arn:aws:iam::123456789012:role/failover\ncredential_source = Ec2InstanceMetadata\nmfa_serial = 1", "MFA"),
        ("role_arn = failover\ncredential_source = Ec2InstanceMetadata", "not the ARN of a role"),
        ("role_arn =\ncredential_source = Ec2InstanceMetadata", "role_arn has no value"),
        ("credential_process = /bin/keys", "credential_process"),
        ("sso_account_id = 123456789012\nsso_role_name = web", "SSO"),
        ("sso_session = corp", "sso_session"),
        ("web_identity_token_file = /var/token\nrole_arn = arn:aws:iam::123456789012:role/failover", "web_identity_token_file"),
        ("login_session = arn:aws:iam::123456789012:user/me", "aws login"),
        ("region = eu-west-1", "no keys for profile"),
        ("aws_access_key_id =\naws_secret_access_key = x", "aws_access_key_id has no value"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
        stage.write_secret(CREDENTIALS, profile("default", "DEFAULT"));
        stage.write(CONFIG, format!("[profile failover]\n{section}\n"));
        is_refused(&stage, &[("AWS_PROFILE", "failover")], &["profile \"failover\"", told]);
    }
}

#[test]
fn a_misspelt_profile_is_refused_with_what_names_it_wherever_that_is() {
    for (line, environment, told) in [
        ("", &[("AWS_PROFILE", "failovr")][..], "environment variable AWS_PROFILE names it"),
        ("", &[("AWS_DEFAULT_PROFILE", "failovr"), ("AWS_PROFILE", "failover")], "environment variable AWS_DEFAULT_PROFILE names it"),
        ("AWS_PROFILE=failovr", &[], "line 7: AWS_PROFILE names it"),
        ("AWS_DEFAULT_PROFILE=failovr", &[], "line 7: AWS_DEFAULT_PROFILE names it"),
        ("AWS_PARAMS='--region=eu-west-1 --profile=failovr'", &[], "AWS_PARAMS names it with --profile"),
        ("", &[("AWS_PROFILE", "failovr"), ("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "x")], "AWS_PROFILE names it"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
        stage.write_secret(CREDENTIALS, profile("failover", "FAILOVER") + &profile("default", "DEFAULT"));
        stage.configure(line);
        is_refused(&stage, environment, &["no profile \"failovr\"", told]);
    }
    let (stage, _metadata) = with_a_role();
    let ended = stage.operate("start", &[("OCF_RESKEY_profile", "failovr")]);
    ended.says("", 5);
    ended.tells(&["no profile \"failovr\"", "parameter profile names it"]);
    is_refused(&stage, &[("AWS_PROFILE", "")], &["environment variable AWS_PROFILE is empty", "unset it"]);
}

#[test]
fn a_named_profile_comes_before_all_but_the_environment_that_names_it() {
    let (stage, _metadata) = with_a_role();
    stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
    stage.write_secret(CREDENTIALS, profile("failover", "FAILOVER") + &profile("default", "DEFAULT"));
    let keys = [("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let old = [("EC2_ACCESS_KEY", "EC2TOOLS"), ("EC2_SECRET_KEY", SECRET)];
    let signer = |environment: &[(&str, &str)]| {
        status(&stage, environment).says(RUNNING, 0);
        stage.signer()
    };
    assert_eq!(signer(&[]), "OTHER");
    assert_eq!(signer(&[("AWS_PROFILE", "failover")]), "FAILOVER");
    assert_eq!(signer(&[old[0], old[1], ("AWS_PROFILE", "failover")]), "FAILOVER");
    assert_eq!(signer(&[keys[0], keys[1], ("AWS_PROFILE", "failover")]), "ENVIRONMENT");
    assert_eq!(signer(&[("AWS_PROFILE", "default"), ("AWS_DEFAULT_PROFILE", "failover")]), "FAILOVER");
    stage.configure("AWS_PROFILE=failover");
    assert_eq!(signer(&[keys[0], keys[1], ("AWS_PROFILE", "default")]), "FAILOVER");
}

#[test]
fn what_people_write_in_their_files_is_read_as_the_aws_cli_reads_it() {
    let upper = format!("[default]\nAWS_ACCESS_KEY_ID = KEY\nAWS_SECRET_ACCESS_KEY = {SECRET}\nAWS_SESSION_TOKEN = token\n");
    let older = format!("{}aws_security_token: token\naws_session_token = other\n", profile("default", "KEY"));
    let indented =
        format!("\n[default]\n  aws_access_key_id=KEY\n  aws_secret_access_key : {SECRET}\n  s3 =\n    aws_access_key_id = NESTED\n");
    let defaults = format!("[DEFAULT]\naws_access_key_id = KEY\n[default]\naws_secret_access_key = {SECRET}\n");
    for (file, text, name, token) in [
        (CREDENTIALS, upper, "default", Some("token")),
        (CREDENTIALS, older, "default", Some("token")),
        (CREDENTIALS, indented, "default", None),
        (CREDENTIALS, defaults, "default", None),
        (CREDENTIALS, profile("default", "KEY").replace('\n', "\r\n"), "default", None),
        (CREDENTIALS, profile("fail over", "KEY"), "fail over", None),
        (CONFIG, profile("profile 'fail over'", "KEY"), "fail over", None),
        (CONFIG, profile("profile \"fail over\"", "KEY"), "fail over", None),
        (CONFIG, profile("profile default", "KEY"), "default", None),
        (CONFIG, profile("default", "WRONG") + &profile("profile default", "KEY"), "default", None),
        (CONFIG, profile("profile default", "WRONG") + &profile("default", "KEY") + "; end\n", "default", None),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.write_secret(file, &text);
        status(&stage, &[("AWS_PROFILE", name)]).says(RUNNING, 0);
        assert_eq!(stage.signer(), "KEY", "{text:?}");
        assert_eq!(stage.ec2.requests()[0].headers.get("x-amz-security-token").map(String::as_str), token, "{text:?}");
    }
    let (stage, _metadata) = with_a_role();
    let keys = [("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SECURITY_TOKEN", "token")];
    status(&stage, &keys).says(RUNNING, 0);
    assert_eq!(stage.ec2.requests()[0].headers["x-amz-security-token"], "token");
}

#[test]
fn the_region_may_stand_in_either_file_and_the_credentials_win() {
    let region = |stage: &Stage| stage.ec2.requests().pop().unwrap().headers["authorization"].split('/').nth(2).unwrap().to_owned();
    for (credentials, config, expected) in [
        ("region = us-east-2", "", "us-east-2"),
        ("", "region = eu-north-1", "eu-north-1"),
        ("region = us-east-2", "region = eu-north-1", "us-east-2"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.unset("AWS_PARAMS");
        stage.write_secret(CREDENTIALS, format!("{}{credentials}\n", profile("default", "KEY")));
        stage.write(CONFIG, format!("[default]\n{config}\n"));
        status(&stage, &[]).says(RUNNING, 0);
        assert_eq!(region(&stage), expected);
    }
    let (stage, _metadata) = with_a_role();
    stage.unset("AWS_PARAMS");
    stage.write(CONFIG, "[default]\nregion = ireland\n");
    is_refused(&stage, &[], &["profile \"default\"", CONFIG, "not a region"]);
    is_refused(&stage, &[("AWS_DEFAULT_REGION", "")], &["environment variable AWS_DEFAULT_REGION is empty"]);
}

#[test]
fn a_file_that_python_would_refuse_is_refused_with_the_line_and_without_its_words() {
    for (text, told) in [
        (profile("default", "KEY") + &profile("default", "OTHER"), "line 4: a section of this name is there already"),
        (profile("default", "KEY") + "aws_access_key_id = OTHER\n", "line 4: this section has a value of this name already"),
        (format!("aws_secret_access_key = {SECRET}\n"), "line 1: it stands before the first [section]"),
        (format!("[default]\n{SECRET}\n"), "line 2: not of the form name = value"),
        ("[default\n".to_owned(), "line 1: a section's closing bracket is missing"),
        (format!("[default]\naws_secret_access_key =\n  {SECRET}\n"), "line 3: a line below a key without a value"),
        ("\u{feff}[default]\n".to_owned(), "line 1: a byte order mark"),
    ] {
        for file in [CREDENTIALS, CONFIG] {
            let (stage, _metadata) = with_a_role();
            stage.write_secret(file, &text);
            is_refused(&stage, &[], &[stage.path(file).to_str().unwrap(), told]);
            let keys = [("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
            is_refused(&stage, &keys, &[stage.path(file).to_str().unwrap(), told]);
        }
    }
}

#[test]
fn the_files_of_a_large_organization_are_read() {
    let (stage, _metadata) = with_a_role();
    let others: String = (0..1000)
        .map(|number| {
            format!("[profile account-{number}]\nsso_session = corp\nsso_account_id = {number:012}\nsso_role_name = Administrator\n\n")
        })
        .collect();
    stage.write(CONFIG, others + "[profile failover]\nregion = us-east-2\n");
    stage.write_secret(CREDENTIALS, profile("failover", "KEY"));
    stage.unset("AWS_PARAMS");
    status(&stage, &[("AWS_PROFILE", "failover")]).says(RUNNING, 0);
    assert_eq!(stage.signer(), "KEY");
    assert!(stage.ec2.requests()[0].headers["authorization"].contains("/us-east-2/"));
}

#[test]
fn other_files_may_be_named_in_the_configuration_and_the_environment() {
    let named = [("AWS_SHARED_CREDENTIALS_FILE", "/etc/aws/keys"), ("AWS_CONFIG_FILE", "~/settings")];
    for in_file in [true, false] {
        let (stage, _metadata) = with_a_role();
        stage.unset("AWS_PARAMS");
        stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
        stage.write_secret(CREDENTIALS, profile("default", "WRONG"));
        stage.write_secret("etc/aws/keys", profile("default", "KEY"));
        stage.write("home/me/settings", "[default]\nregion = us-east-2\n");
        let mut environment = vec![("HOME", "/home/me")];
        if in_file {
            stage.configure(&named.map(|(name, file)| format!("{name}='{file}'")).join("\n"));
        } else {
            environment.extend(named);
        }
        status(&stage, &environment).says(RUNNING, 0);
        assert_eq!(stage.signer(), "KEY");
        assert!(stage.ec2.requests()[0].headers["authorization"].contains("/us-east-2/"));
    }
}

#[test]
fn a_named_file_that_is_not_there_or_gives_no_keys_is_refused_with_what_names_it() {
    for (name, path, told) in [
        ("AWS_SHARED_CREDENTIALS_FILE", "/etc/aws/keys", "does not exist"),
        ("AWS_CONFIG_FILE", "/etc/aws/settings", "does not exist"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/etc/aws/empty", "no keys for profile \"default\""),
        ("AWS_SHARED_CREDENTIALS_FILE", "keys", "not an absolute path"),
        ("AWS_CONFIG_FILE", "$HOME/settings", "not an absolute path"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
        stage.write_secret("etc/aws/empty", "[default]\nregion = eu-west-1\n");
        if name == "AWS_CONFIG_FILE" {
            stage.configure("AWS_PROFILE=default");
        }
        is_refused(&stage, &[(name, path)], &[name, told]);
        if !path.starts_with('$') {
            stage.configure(&format!("{name}={path}"));
            is_refused(&stage, &[], &["etc/default/elastic-ip line ", name, told]);
        }
    }
}

#[test]
fn two_places_that_aws_params_names_are_one_too_many() {
    let (stage, _metadata) = with_a_role();
    stage.configure("AWS_PARAMS='--region=eu-west-1 --role=web --profile=failover'");
    is_refused(&stage, &[], &["AWS_PARAMS", "more than one place for keys", "--role="]);
}

#[test]
fn keys_in_the_configuration_file_are_not_read_and_that_is_told_once() {
    let (stage, _metadata) = with_a_role();
    stage.configure(&format!("AWS_ACCESS_KEY_ID=KEY\nAWS_SECRET_ACCESS_KEY={SECRET}"));
    let ended = stage.run(["status"]);
    ended.says(RUNNING, 0);
    ended.complains_once_of(&["line 7: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY not read", "everybody can read", "/root/.awssecret"]);
    assert_eq!(stage.signer(), "ROLE");
}

#[test]
fn a_name_of_the_sdks_that_nobody_reads_is_told() {
    for (name, told) in [
        ("AWS_RETRY_MODE", "AWS_RETRY_MODE is not a name this program reads"),
        ("AWS_CREDENTIAL_FILE", "AWS_CREDENTIAL_FILE is not a name this program reads; remove"),
        ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "AWS_METADATA_SERVICE_NUM_ATTEMPTS is not read: a call asks until its time is over"),
        ("AWS_PROFIL", "did you mean AWS_PROFILE?"),
    ] {
        let (stage, _metadata) = with_a_role();
        stage.configure(&format!("{name}=x"));
        let ended = stage.run(["status"]);
        ended.says(RUNNING, 0);
        ended.complains_once_of(&["line 7: ", told]);
    }
}

#[test]
fn a_place_that_other_programs_would_take_keys_from_is_not_passed_by() {
    for name in [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CREDENTIAL_FILE",
        "BOTO_CONFIG",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ] {
        let (stage, _metadata) = with_a_role();
        is_refused(&stage, &[(name, "/x")], &[name, "does not read", "unset it"]);
        let (stage, _metadata) = with_a_role();
        stage.write_secret(AWSSECRET, format!("OTHER\n{SECRET}\n"));
        status(&stage, &[(name, "/x")]).says(RUNNING, 0);
        assert_eq!(stage.signer(), "OTHER");
    }
    // botocore looks whether there is a value in the last one only.
    for (name, is_refused_without) in [("AWS_CREDENTIAL_FILE", true), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", true), ("BOTO_CONFIG", false)]
    {
        let (stage, _metadata) = with_a_role();
        if is_refused_without {
            is_refused(&stage, &[(name, "")], &[name, "does not read", "unset it"]);
        } else {
            status(&stage, &[(name, "")]).says(RUNNING, 0);
        }
    }
}

#[test]
fn a_web_identity_comes_before_a_profiles_own_keys_and_the_others_after_them() {
    let with_keys = || {
        let (stage, metadata) = with_a_role();
        stage.write_secret(CREDENTIALS, format!("[default]\naws_access_key_id = OTHER\naws_secret_access_key = {SECRET}\n"));
        (stage, metadata)
    };
    for (name, is_before) in [("AWS_WEB_IDENTITY_TOKEN_FILE", true), ("AWS_CREDENTIAL_FILE", false), ("BOTO_CONFIG", false)] {
        for named in [&[][..], &[("AWS_PROFILE", "default")]] {
            let (stage, _metadata) = with_keys();
            let environment = [named, &[(name, "/x")]].concat();
            if is_before {
                is_refused(&stage, &environment, &[name, "does not read", "unset it"]);
            } else {
                status(&stage, &environment).says(RUNNING, 0);
                assert_eq!(stage.signer(), "OTHER");
            }
        }
        // Whose profile the configuration names is asked for nothing in the environment.
        let (stage, _metadata) = with_keys();
        stage.configure("AWS_PROFILE=default");
        status(&stage, &[(name, "/x")]).says(RUNNING, 0);
        assert_eq!(stage.signer(), "OTHER");
    }
}

const ASSUMED: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASSUMED</AccessKeyId>\
    <SecretAccessKey>sEcReTcAnArY/0123456789+abcdefghijklmnop</SecretAccessKey><SessionToken>assumedToken==</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

/// A stage whose profile `failover` acts in a role of another account, by this line.
fn with_another_accounts_role(source: &str) -> (Stage, Metadata) {
    let (stage, metadata) = with_a_role();
    stage.write_secret(CREDENTIALS, profile("base", "BASE"));
    let role = "role_arn = arn:aws:iam::123456789012:role/a+b";
    stage.write(CONFIG, format!("[profile failover]\n{role}\n{source}\nexternal_id = x:1/2\nregion = eu-west-1\n"));
    stage.configure(&format!("AWS_PROFILE=failover\nAWS_ENDPOINT_URL_STS={}", stage.ec2.url()));
    (stage, metadata)
}

// Fails when `assume_role::fetch` leaves the base's keys in place, or a parameter of the profile out.
#[test]
fn a_role_of_another_account_is_assumed_by_a_profile_or_the_instances_role() {
    for (source, by) in [("source_profile = base", "BASE"), ("credential_source = Ec2InstanceMetadata", "ROLE")] {
        let (stage, _metadata) = with_another_accounts_role(source);
        stage.ec2.answer("AssumeRole", Answer::new(200, ASSUMED));
        status(&stage, &[]).says(RUNNING, 0);
        let requests = stage.ec2.requests();
        let told: Vec<_> = requests.iter().map(|request| (request.action.as_str(), request.signer())).collect();
        assert_eq!(told, [("AssumeRole", by.to_owned()), ("DescribeAddresses", "ASSUMED".to_owned())]);
        assert_eq!(requests[0].parameters["RoleArn"], "arn:aws:iam::123456789012:role/a+b");
        assert_eq!(requests[0].parameters["ExternalId"], "x:1/2");
        assert_eq!(requests[0].parameters["RoleSessionName"], "elastic-ip");
        assert!(requests[0].headers["authorization"].contains("/eu-west-1/sts/aws4_request"), "{:?}", requests[0].headers);
        assert_eq!(requests[1].headers["x-amz-security-token"], "assumedToken==");
    }
}

#[test]
fn a_role_may_be_assumed_in_another_role() {
    let (stage, _metadata) = with_another_accounts_role("source_profile = middle");
    stage.ec2.answer("AssumeRole", Answer::new(200, ASSUMED));
    let middle = "[profile middle]\nrole_arn = arn:aws:iam::123456789012:role/middle\nsource_profile = base\n";
    let text = std::fs::read_to_string(stage.path(CONFIG)).unwrap();
    stage.write(CONFIG, text + middle);
    status(&stage, &[]).says(RUNNING, 0);
    let roles: Vec<_> = stage.ec2.requests().iter().filter_map(|request| request.parameters.get("RoleArn").cloned()).collect();
    assert_eq!(roles, ["arn:aws:iam::123456789012:role/middle", "arn:aws:iam::123456789012:role/a+b"]);
    assert_eq!(stage.ec2.requests()[1].signer(), "ASSUMED");
}

#[test]
fn a_start_asks_sts_again_for_what_may_pass_and_a_role_that_is_wrong_is_final() {
    use std::time::Duration;
    for (status, code) in [(503, "ServiceUnavailable"), (400, "Throttling"), (403, "AccessDenied"), (403, "InvalidClientTokenId")] {
        let (stage, _metadata) = with_another_accounts_role("source_profile = base");
        stage.ec2.answer_for("AssumeRole", &Answer::error(status, code), Duration::from_millis(300));
        stage.ec2.answer("AssumeRole", Answer::new(200, ASSUMED));
        let ended = stage.run(["start"]);
        assert_eq!(ended.code(), 0, "{code}: {ended:?}");
        ended.tells(&["profile \"failover\"", code, "trying again"]);
    }
    let (stage, _metadata) = with_another_accounts_role("source_profile = base");
    stage.ec2.answer("AssumeRole", Answer::error(400, "ValidationError"));
    let ended = stage.run(["start"]);
    ended.says("", 6);
    ended.complains_once_of(&[
        "profile \"failover\"",
        "STS answers 400 to AssumeRole: ValidationError: Words about it; correct the profile",
    ]);
}

#[test]
fn an_sts_answer_that_is_not_whole_is_no_keys() {
    let bodies = [
        String::new(),
        "<AssumeRoleResponse/>".to_owned(),
        ASSUMED[..ASSUMED.len() - 9].to_owned(),
        ASSUMED.replace("ASSUMED<", "<"),
        format!("{ASSUMED}{ASSUMED}"),
    ];
    each_at_once(&bodies, |body| {
        let (stage, _metadata) = with_another_accounts_role("source_profile = base");
        stage.configure("STATUS_TIMEOUT=2");
        stage.ec2.answer("AssumeRole", Answer::new(200, body.as_str()));
        let ended = stage.call(["status"]).run();
        ended.says("unknown\n", 4);
        ended.tells(&["STS's answer to AssumeRole cannot be read"]);
    });
}

#[test]
fn settings_that_others_may_write_choose_no_role() {
    let (stage, _metadata) = with_another_accounts_role("source_profile = base");
    stage.set_mode(CONFIG, 0o666);
    is_refused(&stage, &[], &[CONFIG, "may be written by others", "chmod go-w"]);
}
