"""The fix that each error must name, and the judge that compares it with every error that a test raises.

FIXES says it a second time, independently of the sources: the command, flag, variable, file or setting that gets the
user out, as a pattern that the hint (or, without one, the message) must match. Where one code stands for several
faults, the patterns on the left tell them apart by the message, and each has its own fix.

tests/conftest.py judges each error of the program that comes into being while a test runs, and fails the test whose
error names another fix or none. Programs that tests start are not reached.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from aws_runas.errors import AwsRunasError

SOURCES = str(Path(__file__).parents[2] / "src" / "aws_runas")
Fix = str | Mapping[str, str]  # a pattern of the hint; or patterns of the message, each with that of its hint

# Nothing is left to do: a choice of the user, the words of AWS or of the far side, or never shown alone.
NOTHING_TO_DO = frozenset({
    "aws-error", "copy-failed", "endpoint-without-program", "helper-failed", "instances-gone", "interrupted",
    "parameter-invalid", "profile-not-picked", "session-ended", "session-failed", "session-gone", "session-invalid",
    "session-left", "target-not-picked",
})  # fmt: skip
# The hint of another error, which was judged when that one came into being.
HANDED_ON = frozenset({"resume-refused", "service-unavailable", "tunnels-refused"})

FIXES: dict[str, Fix] = {
    "access-denied": r"the permission \w[\w-]*:\w+",
    "access-key-unknown": "check aws_access_key_id and aws_session_token",
    "address-invalid": r"\[2001:db8::1\]:9000",
    "address-unusable": "an address of this machine",
    "agent-silent": "the next connection opens a new session",
    "agent-too-old": {
        "separate a command's streams": "--via shell, or update .*AWS-UpdateSSMAgent",
        "": "AWS-UpdateSSMAgent",
    },
    "argument-unexpected": {
        "^(shell|ssh) runs no program": "^use: aws-runas run ",
        "^forward takes one target": "^each -L port:host:hostport adds a forward$",
        "takes only a profile": r"^use: aws-runas \w",
        "keys takes": "aws-runas keys -h",
        "argument '-": "^flags go before the profile$",
        "": r"^leave it out$|^the command goes after --$|^use: aws-runas \w|^aws-runas fleet list$",
    },
    "arn-not-a-role": {
        "^role_arn ": "^correct it in ",
        "": "looks like arn:aws:iam::123456789012:role/NAME",
    },
    "assertion-expired": "sign in again.*clock",
    "auth-url-invalid": "the address of the sign-in page, https://",
    "authfile-unsuitable": "leave --authfile out",
    "bootstrap-failed": "Session Manager preferences, and python3",
    "browser-missing": {
        "none? .*family|browser of the Chrome family": "auth_browser = PATH",
        "^cannot start ": "auth_browser",
        "no browser window": "provider form or process",
        "cannot be passed": "--print or --clipboard",
        "": "--print or --clipboard, .*--browser",
    },
    "browser-not-found": {
        "text browser": "a graphical browser, or use --no-browser",
        "not a program in PATH": "%s for the address",
        "not installed": "install it, or name another",
        "": "^use one of: ",
    },
    "browser-profile-unusable": "--fresh-browser",
    "browser-silent": "--print or --clipboard",
    "ca-bundle-invalid": {
        "is empty": "unset it, or name a file",
        "": "PEM",
    },
    "caller-not-a-user": {
        "access keys of their own": "the profile of an IAM user",
        "": "a profile with the access keys of an IAM user",
    },
    "certificate-untrusted": "AWS_CA_BUNDLE",
    "client-secret-exposed": "^run: chmod 600 /",
    "client-secret-missing": "web_identity_client_secret = file://PATH",
    "client-secret-unreadable": "the path, or the owner",
    "client-setup-failed": {
        "is not (one of|a whole number)": r"^write \w+, or remove it",
        "certificates cannot be read|AWS_CA_BUNDLE|No such file|ermission": "AWS_CA_BUNDLE and ca_bundle",
        "": "the client settings of the profile and the AWS_ variables|AWS_CA_BUNDLE and ca_bundle",
    },
    "clipboard-missing": "wl-clipboard, xclip or xsel, or use --print",
    "clock-skew": "set the clock",
    "cluster-invalid": "the name, not the ARN",
    "command-id-invalid": "AWS_ENDPOINT_URL",
    "command-invalid": "on standard input",
    "command-missing": r"aws-runas shell \[profile\] target",
    "command-not-started": "--cwd, and what sudo allows",
    "command-too-long": "--via shell",
    "command-unknown": r"did you mean \w+\?|aws-runas help",
    "completion-shell-unknown": {
        "one shell only": r"^use: aws-runas completion \w+$",
        "": "bash, zsh, fish, powershell",
    },
    "config-file-damaged": {
        "indented line": "correct that block",
        "": "correct that line",
    },
    "config-file-directory": "AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE",
    "config-file-encoding": "as UTF-8",
    "config-file-unreadable": {
        "permission denied": "chmod 600",
        "": "AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE",
    },
    "config-file-unwritable": {
        "no space|quota": "^free some space$",
        "": "AWS_CONFIG_FILE|run it again",
    },
    "config-value-invalid": "leave out the line breaks",
    "console-not-possible": {
        "no public console": "can be opened in aws",
        "": "a profile with a role, or with the user's own keys",
    },
    "console-refused": "without -d|try again in a moment|try -r",
    "console-setting-invalid": "granted or open-url",
    "container-client-failed": "the output of .* above",
    "container-client-missing": "--client",
    "container-client-unknown": "docker, podman, .*helm",
    "container-token-invalid": {
        "cannot read": "unset AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "line break": "without a line break",
    },
    "copy-broken": "run the same command again to resume|cannot be resumed: start over",
    "copy-incomplete": {
        "empty argument": r"\. for this directory",
        "": r"aws-runas cp \[profile\] file \S+:/",
    },
    "copy-no-remote": "target:path",
    "copy-stream-invalid": {
        "is closed": "redirect it",
        "": "copy the other files separately",
    },
    "copy-two-remotes": {
        "sources": "a separate cp for each",
        "": "to this machine first",
    },
    "credential-source-unknown": "Environment, EcsContainer or Ec2InstanceMetadata",
    "credentials-expired": r"use -r\b",
    "credentials-file-unwritable": {
        "no space|quota": "^free some space$",
        "": "AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE",
    },
    "credentials-missing": {
        "AWS_SECRET_ACCESS_KEY is set": "set both, or name a profile",
        "AWS_ACCESS_KEY_ID is not set": "set it and AWS_SECRET_ACCESS_KEY",
        "no keys any more": "aws_access_key_id and aws_secret_access_key",
        "has no access keys in": r"aws-runas keys add \S+ asks for keys; --from",
        "could be replaced": "aws-runas keys list",
        "no profile is named": "AWS_PROFILE, or set AWS_ACCESS_KEY_ID",
        "": "copy both keys completely|add (keys|source_profile|aws_access_key_id)",
    },
    "data-key-denied": "kms:GenerateDataKey",
    "destination-invalid": {
        "is a profile, not a destination": r"aws-runas console --profile \S+, or unset AWS_PROFILE",
        "is empty": "leave it out for the home page",
        "characters that no address": "%20",
        "is not under https://": "a page of the console, or a service word",
        "partition": "a profile of that partition",
        "": "the ARN of ",
    },
    "dns-server-invalid": r"192\.0\.2\.53:5353",
    "document-invalid": "aws ssm list-documents",
    "document-missing": "needs --document",
    "document-not-allowed": "ssm:StartSession on arn:.*--via shell",
    "document-parameter-invalid": "--parameter command=",
    "duration-invalid": {
        "duration_seconds": "duration_seconds = 3600",
        "^--": r"\d[hms]",
        "": "= 1h30m",
    },
    "duration-out-of-range": r"\d+(m|h).*\d+(m|h)",
    "ecr-section-invalid": {
        "does not exist": "a profile of the config file",
        "": "123456789012 = PROFILE",
    },
    "ecs-execute-command-off": "--enable-execute-command",
    "ecs-target-invalid": "ecs:cluster/service/container",
    "end-uncertain": "check the end of the output, and run it again",
    "endpoint-invalid": {
        "is not a path": "begins with /",
        "without encryption": "use https, an address of this machine",
        "": "^write for instance https?://",
    },
    "endpoint-not-aws": {
        "sign-in: |getSigninToken|console|federation": "RUNAS_SIGNIN_URL",
        "no address": "sso_region",
        "": "AWS_ENDPOINT_URL",
    },
    "endpoint-timeout": "network and proxy",
    "endpoint-unreachable": {
        "without an answer": "network and proxy",
        "sso_start_url": "the address, the network and the proxy",
        "TLS": "http:// instead of https://",
        "cannot resolve .*AWS_ENDPOINT_URL": r"is the name in AWS_ENDPOINT_URL\w* right\?",
        "^sign-in at .* cannot resolve": "is the address in the profile right",
        "cannot resolve": "is the region right",
        "^sign-in at ": "the address in the profile",
        "AWS_ENDPOINT_URL": "AWS_ENDPOINT_URL",
        "": "check the network and the region",
    },
    "escape-invalid": "the default is ~",
    "file-changed": "run the same command again",
    "flag-argument-missing": r"^--?\S+ needs an argument$",
    "flag-takes-no-argument": "takes no argument",
    "flag-unknown": r"did you mean --?[\w-]+\?$|^use: aws-runas \w|^aws-runas --help lists the flags$",
    "flag-unsuitable": {
        "^(-[lmwD]|--ec2|--ecs) does not work with ": "^use: aws-runas (list|whoami|diagnose|serve) ",
        "^--ec2 and --ecs": "start one server for each",
        "--print and --clipboard": "use one of them",
        "does not go|cannot be combined|and --pick": "leave one of them out|name the profile",
        "has no effect|chooses the profile": "leave one of them out",
        "--logout-first .*portal": "--federation",
        "--logout-first": "sign out in the browser",
        "--unset runs no program": r'eval "\$\(aws-runas --unset\)"',
        "": r"it works with \w|goes with|works only with|needs --|-O json|has no \w",
    },
    "fleet-command-missing": r"aws-runas fleet --on SELECTOR \[profile\] -- command",
    "fleet-group-broken": "by a tag",
    "fleet-group-unknown": "aws resource-groups list-groups",
    "fleet-no-instance": "aws-runas list instances",
    "fleet-not-confirmed": {
        "nothing was run": "--yes",
        "via sessions": "--yes, or use --via command",
        "": "--yes, or check the selection with --dry-run",
    },
    "fleet-run-unknown": "aws-runas fleet list",
    "forward-invalid": r"\[bind:\]port:host:hostport, such as 5432:",
    "function-name-invalid": "--name ra",
    "hash-differs": "run the same command again",
    "helper-missing": {
        "via port needs": "--via shell",
        "sha256sum": "--no-verify",
        "the helper needs": "there is: sh",
        "without Python": r"install Python 3\.6",
        "no Python on": r"Python 3\.6 there, or use -n",
        "": r"cp needs Python 3\.6",
    },
    "id-token-invalid": {
        "has expired": "this machine's clock",
        "answer has none": "web_identity_scopes must include openid",
        "": "web_identity_auth_url and web_identity_client_id",
    },
    "identity-invalid": "the provider in IAM: its ARN, audience and certificate",
    "identity-rejected": "sign in again",
    "idp-answer-invalid": "the address in the profile",
    "idp-code-refused": {
        "mfa_type": "mfa_type = code",
        "": "wait for the next code",
    },
    "idp-password-wrong": "in a browser first",
    "idp-unreachable": "try again in a moment",
    "init-shell-unknown": "bash, zsh, fish",
    "input-not-possible": "add -n, or use --via shell",
    "instance-connect-target": "leave --ec2ic out",
    "key-still-active": "deactivate it at AWS",
    "keyring-damaged": {
        "aws-vault": "aws-runas keys add asks",
        "^the item": "aws-runas keys add or aws-runas password",
        "": "aws-runas keys add",
    },
    "keyring-denied": {
        "others can read": "^chmod 600 /",
        "gpg": "run it again and answer it",
        "": "answer the prompt of the system",
    },
    "keyring-failed": {
        "^cannot use .*(no space|quota)": "^free some space$",
        "^cannot use ": "make it writable for you",
        "^cannot (write|read|open|remove|lock)|^cannot ": "the space on the disk",
        "^pass did not answer": "pass ls",
        "^pass failed": "pass show",
        "does not give back what was written": "the file and the space on the disk",
        "does not give back what was stored": "RUNAS_KEYRING=file",
        "did not answer": "RUNAS_KEYRING=file",
        "": "RUNAS_KEYRING=file",
    },
    "keyring-item-missing": {
        "^aws-vault has": "aws-vault list",
        "in a keyring$": r"aws-runas keys add \S+ stores",
        "keyring_key_id": r"keyring_key_id \(.*keys add",
        "": r"aws-runas keys add \S+; RUNAS_KEYRING",
    },
    "keyring-locked": {
        "^the keyring file needs|page": "RUNAS_KEYRING_PASSPHRASE",
        "gpg cannot": r"GPG_TTY=\$\(tty\)",
        "no desktop": "RUNAS_KEYRING=file",
        "": "RUNAS_KEYRING_PASSPHRASE",
    },
    "keyring-missing": {
        "aws-vault": r"aws-vault exec \S+ --no-session -- aws-runas keys import \S+ --from env",
        "^cannot run pass": "apt install pass",
        "does not exist yet": "pass init GPG-ID",
        "": "RUNAS_KEYRING=file",
    },
    "keyring-newer": "update aws-runas",
    "keyring-passphrase-wrong": {
        "differ": "type the same passphrase twice",
        "": "RUNAS_KEYRING_PASSPHRASE",
    },
    "keyring-unknown": {
        "cannot be used": r"MODULE\.CLASS of a keyring backend that encrypts",
        "": r"auto, file, pass, .*MODULE\.CLASS",
    },
    "keys-incomplete": {
        "^AWS_SESSION_TOKEN": "^unset AWS_SESSION_TOKEN$",
        "AWS_": "^set both, or (neither|unset AWS_ACCESS_KEY_ID)$",
        "": r"aws-runas keys add \S+ writes both lines|^add both keys$",
    },
    "keys-kept": r"-y$|aws-runas keys rotate \S+",
    "keys-limit": "--replace-inactive|deactivate",
    "keys-temporary": "long-term keys of an IAM user",
    "list-too-long": "AWS_ENDPOINT_URL and the proxy",
    "login-choice-invalid": "ask, always or never",
    "login-denied": {
        "did not end": "as root",
        "^the sign-in to ": "^run: aws-runas login",
        "": "administrators",
    },
    "login-flow-invalid": "auto, browser or device",
    "login-needed": "aws-runas login|sign in|the server's page",
    "login-not-possible": "Identity Center, identity providers and access keys of a user",
    "login-state-mismatch": {
        "^the sign-in to ": "close old sign-in windows and run: aws-runas login",
        "": "sign in again",
    },
    "login-target-missing": {
        "names no session": "give it a name",
        "": "name a profile, or --sso-session NAME",
    },
    "login-timeout": {
        "no sign-in within": "aws-runas login --timeout",
        "^the sign-in to ": "^run: aws-runas login",
        "": "sign in again",
    },
    "mfa-code-invalid": "six digits",
    "mfa-code-missing": "type the code",
    "mfa-code-refused": "wait for the next one",
    "mfa-device-refused": "aws-runas -m ",
    "mfa-no-terminal": {
        "credential helper": r"run aws-runas \S+ true in a terminal",
        "": "-o or MFA_CODE, or let mfa_process",
    },
    "mfa-process-failed": "run it by hand.*-o",
    "mfa-program-has-terminal": "in another terminal",
    "mfa-required": "POST it to /mfa",
    "mode-invalid": "an octal number up to 777",
    "name-invalid": "letters|characters|correct it in ",
    "name-refused": "under another name",
    "no-bastion": "--through, or with bastion = TARGET",
    "no-shell": "needs sh",
    "no-space": "free some space",
    "not-a-database": {
        "has no endpoint": "/reader",
        "": "did you mean (rds|cache):|check id and region",
    },
    "number-invalid": r"takes a (whole )?number from \d",
    "oidc-device-unsupported": "web_identity_flow = browser",
    "oidc-discovery-failed": "web_identity_auth_url, or set web_identity_issuer",
    "oidc-token-refused": "web_identity_client_id, web_identity_redirect_uri",
    "output-file-unwritable": "a file that you can write",
    "output-format-impossible": "-O env or -O json",
    "output-format-unknown": {
        "sso list": r"sso list prints \w",
        "": "one of env, json",
    },
    "output-unwritable": {
        "Bad file descriptor": "redirect it to a file",
        "": "free some space",
    },
    "packed-policy-too-large": "shorter policies",
    "password-mismatch": {
        "no user name": "saml_username or use -U",
        "": "run it again",
    },
    "pick-no-terminal": "name the profile",
    "plugin-broken": "session-manager-working-with-install-plugin.*leave --plugin out",
    "plugin-forward": "leave --plugin out",
    "plugin-not-found": "session-manager-working-with-install-plugin.*leave --plugin out",
    "plugin-too-old": "session-manager-working-with-install-plugin.*leave --plugin out",
    "port-closed": r"is sshd running there\?|does a server listen there\?",
    "port-invalid": {
        "^-p|^port": r"1\.\.65535|1 to 65535",
        "": "a port is a number from 1 to 65535",
    },
    "port-missing": {
        "needs a destination": "target:port or rds:ID",
        "no tunnel of that name": "did you mean|aws-runas forward --list",
        "": "target:port",
    },
    "port-not-permitted": {
        "listen on /": "a directory of your own",
        "": "another with -p",
    },
    "port-silent": "as sshd does",
    "port-taken": {
        "another forward of this command": "port 0 for a free one",
        "": "another port with -p",
    },
    "process-circle": "another profile, or from another program",
    "process-invalid": "check its quotes",
    "profile-empty": {
        "^--profile": "leave the flag out",
        "": "leave (it|the word) out",
    },
    "profile-name-taken": "--name, or leave out --strict",
    "profile-not-found": {
        "and no config file": "AWS_CONFIG_FILE, or unset it",
        "": (
            "did you mean |aws-runas list profiles|the config file is "
            r"|there is no config file .*AWS_CONFIG_FILE|must be \[profile |aws-runas default "
            r"|, line \d+: \[.*\] is ignored; write \[\w"
        ),
    },
    "profile-required": {
        "belong to a profile": "belong to a profile",
        "": r"aws-runas keys \w+ PROFILE",
    },
    "program-not-executable": {
        "is a directory": "a program in it",
        "is not executable": r"^chmod \+x ",
        "": "the first line",
    },
    "program-not-found": {
        "already names the profile": "aws-runas --profile .*, or unset AWS_",
        "": "not found",
    },
    "program-start-failed": "-E",
    "provider-unknown": "^use one of: browser",
    "provider-unsupported": "provider browser",
    "proxy-failed": "HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    "proxy-invalid": "http://(HOST:PORT|host:port)",
    "proxy-refused": {
        r"(connect:|answers) 407\b": "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
        "": "NO_PROXY, and which hosts the proxy allows",
    },
    "reason-invalid": r"takes 1 to \d+ characters",
    "redirect-port-unavailable": "--redirect-port",
    "redirect-uri-invalid": r"http://127\.0\.0\.1/callback",
    "region-disabled": "enable STS for the region",
    "region-invalid": "looks like eu-west-1",
    "region-missing": "AWS_REGION, or region = ",
    "registry-profile-missing": r"= PROFILE to \[runas-ecr\] in /.*AWS_PROFILE",
    "registry-unknown": r"ACCOUNT\.dkr\.ecr\.REGION\.amazonaws\.com",
    "releases-url-invalid": "https://host/path",
    "releases-url-missing": r"RUNAS_RELEASES_URL, or as releases_url in \[default\]",
    "remote-killed": "session history",
    "resume-denied": "ssm:ResumeSession",
    "role-denied": {
        "with this": "the role's trust policy must name the provider",
        "": "trust policy, its conditions",
    },
    "role-duration-refused": "less with -a",
    "rotation-running": "wait until it has ended",
    "saml-encrypted": "role_arn and saml_principal_arn",
    "saml-no-role": "its administrators",
    "saml-page-unknown": {
        "^cannot sign in at": "provider browser, which shows every page",
        "did not end at": "web_identity_redirect_uri",
        "": "provider browser|saml_auth_url",
    },
    "saml-process-failed": "by hand|add it to the profile",
    "saml-response-invalid": "saml_auth_url",
    "saml-role-ambiguous": "set role_arn in the profile, or",
    "saml-role-not-offered": "set role_arn to one of these",
    "sandbox-not-around": "aws-runas sandbox",
    "sandbox-not-installed": r"\[sandbox\]",
    "sandbox-option-invalid": "must be |is not like ",
    "sandbox-port-taken": "--port",
    "sandbox-start-failed": "-v",
    "section-name-invalid": "a plainer name",
    "selector-invalid": {
        "cannot be read": "a file of instance ids",
        "instance id": "one id on each line",
        "no instances selected": "--on tag:Role=web",
        "": "tag:KEY=VALUE",
    },
    "serve-address-taken": {
        r"(^|\W)/\S+ is in use": "another path",
        "": "another port with -p",
    },
    "serve-address-unusable": {
        "does not exist": "make the directory",
        "it is a directory": "name a path for the socket in it",
        "": "an address of this machine, and a free port",
    },
    "serve-config-unreadable": "aws-runas list profiles",
    "serve-not-permitted": {
        "needs root": "use sudo, or -p PORT",
        "": "another with -p",
    },
    "serve-privileges-kept": "-p PORT without root",
    "serve-provider-failed": "-v, and report",
    "serve-token-unusable": "unset it",
    "serve-user-unknown": "with sudo from your own account",
    "services-not-found": r"^add \[services .+\] or correct |is ignored; write \[services ",
    "session-denied": "ssm:StartSession",
    "session-id-missing": "aws-runas sessions list",
    "session-not-found": "aws-runas sessions list --all",
    "session-of-others": "--yes",
    "session-policy-invalid": "file://PATH",
    "session-policy-unreadable": "a file that holds a policy as JSON",
    "session-start-timeout": "update its agent",
    "session-tag-invalid": "--session-tag Team=blue|Key=Value",
    "session-without-stream": "AWS_ENDPOINT_URL",
    "sessions-invalid": r"auto nor a number from 1 to \d",
    "setting-unknown": "^use one of: ",
    "several-bastions": "--through, or choose with --pick",
    "sign-in-given-up": "start it again on the server's page",
    "signature-wrong": "aws_secret_access_key, and the clock",
    "signin-url-invalid": "https://|unset|RUNAS_SIGNIN_URL",
    "socket-path-taken": "another path",
    "source-contradictory": {
        "sso_region|sso-session .*(region|URL)|has another": (
            "remove it from the profile|--start-url and --sso-region out"
        ),
        "assumes a role": r"name profile \S+ instead",
        "uses other credentials": "uses other credentials",
        "": "^keep (one of them in|saml_auth_url)",
    },
    "source-failed": {
        "credential_process": "run the command by hand",
        "AWS_EC2_METADATA_DISABLED": "unset it, or name another source",
        "neither AWS_CONTAINER": "where AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
        "login cannot be renewed": "its owner and mode",
        "AWS_EC2_METADATA|Ec2InstanceMetadata": "EC2 instance with an instance profile",
        "": (
            "the token file and the role_arn|the account, the role and the region in the profile"
            "|AWS_CONTAINER_|ECS task|EC2 instance with an instance profile"
        ),
    },
    "source-incomplete": {
        "saml_process": "add saml_process = PROGRAM",
        "client": "the client id",
        "": "add (saml_auth_url|the client id|saml_process)",
    },
    "source-missing": "add (source_profile = NAME|the role_arn that|aws_access_key_id and .*, source_profile)",
    "source-profile-cycle": "in a profile that holds keys",
    "source-profile-not-found": r"^correct it in |must be \[profile |is ignored; write \[profile ",
    "ssh-key-missing": "ssh-keygen -t ed25519.*--identity",
    "ssh-user-missing": "user@target",
    "ssm-command-unknown": "shell, forward or ssh",
    "sso-action-unknown": "list or profiles",
    "sso-incomplete": {
        "is not an https address": "^correct it in ",
        "": r"^add \w+ = \.\.\. (to|there)",
    },
    "sso-role-denied": "aws-runas sso list",
    "sso-session-not-found": {
        "does not use IAM Identity Center": "--sso-session",
        "": r"add \[sso-session .+\] with sso_start_url and sso_region",
    },
    "sso-start-url-foreign": r"https://example\.awsapps\.com/start",
    "sso-token-dead": "aws-runas login",
    "start-throttled": "try again later",
    "status-unknown": "--via shell",
    "stream-address-invalid": "AWS_ENDPOINT_URL and --stream-host",
    "stream-forbidden": "ssmmessages:OpenDataChannel.*clock",
    "stream-not-encrypted": "only wss://",
    "stream-refused": "--stream-host",
    "stream-unreachable": {
        "in time": "the network and the proxy",
        "": "HTTPS_PROXY",
    },
    "stream-untrusted": "AWS_CA_BUNDLE",
    "switch-invalid": "1, true, yes or on; or 0, false, no or off",
    "target-ambiguous": "--pick",
    "target-is-database": "aws-runas forward (rds|cache):",
    "target-missing": {
        "no target given": "instance id|target:port|choose with --pick on a terminal",
        "no port|neither a tunnel": "target:port",
        "": "instance id|raw:TARGET|target:port",
    },
    "target-not-connected": "check region and account|agent|is stopped|not running|AmazonSSMManagedInstanceCore",
    "target-not-found": "region|an instance id is i- or mi-|its containers are: |ecs:cluster/service",
    "target-not-supported": "aws-runas shell",
    "terminal-missing": {
        "user name": "saml_username or web_identity_username",
        "": "run it in a terminal",
    },
    "terminal-unsupported": "--plugin.*WSL",
    "throttled": "try again in a moment",
    "token-host-invalid": {
        "is not a port": "write HOST:PORT",
        "": "HOST or HOST:PORT",
    },
    "token-host-local": "the endpoint of the database and its own port",
    "transitive-tag-unknown": r"--session-tag \S+=VALUE",
    "tunnel-not-found": r"did you mean \S|aws-runas forward --list",
    "tunnels-directory": "XDG_RUNTIME_DIR",
    "tunnels-down": "aws-runas tunnels up",
    "tunnels-foreign": "XDG_RUNTIME_DIR",
    "tunnels-invalid": "is not TOML|^.*tunnel '",
    "tunnels-log-unwritable": "XDG_RUNTIME_DIR",
    "tunnels-name-invalid": "letters, digits, dots, - and _",
    "tunnels-none": r'\[db\], profile = "NAME"',
    "tunnels-port-missing": "--start login",
    "tunnels-process-ended": "^see /",
    "tunnels-running": "aws-runas tunnels down",
    "tunnels-silent": r"kill -CONT \d+",
    "tunnels-socket": "XDG_RUNTIME_DIR",
    "tunnels-unit-unwritable": "the owner or the mode",
    "tunnels-unreadable": "RUNAS_TUNNELS_FILE",
    "unset-impossible": "-O env, fish or powershell",
    "update-unknown": "check the network",
    "usage": {
        "names no program": "name a program, or leave it out",
        "both name the instance": "drop one",
        "": (
            r"^use:? (--?\w|aws-runas |shell|show|-O)|^use (one of )?\w+, |^see: aws-runas |^write |^name "
            r"|^drop --|^auto, none|^one of |^it belongs to |^--\S+ \d|^aws-runas \w|^-?-?[\w-]+ .*(takes"
            "|goes with|does not go|go together|not one of|such as|is not)|cannot be combined|go together"
            r"|goes with|needs? (--|a name)|does not (go|work) with|is neither \w+ nor|such as |is not (in|a"
            "|one)|cannot be|no such|: |has no token"
        ),
    },
    "user-invalid": "-l USER or user@target",
    "variable-invalid": {
        "is not set here": "write --env NAME=VALUE",
        "": "NAME=VALUE or NAME",
    },
    "window-invalid": "less than one message",
}


def fix_of(code: str, message: str) -> str | None:
    """Return the pattern that the hint of an error must match; None if FIXES does not know the error."""
    fix = FIXES.get(code)
    if fix is None or isinstance(fix, str):
        return fix
    return next((pattern for words, pattern in fix.items() if re.search(words, message)), None)


def complaint(code: str, message: str, hint: str | None) -> str:
    """Return what is wrong with the hint of an error, "" if it names its fix."""
    if code in NOTHING_TO_DO or code in HANDED_ON:
        return ""
    pattern = fix_of(code, message)
    if pattern is None:
        return f"{code}: {message!r} has no fix there"
    return "" if re.search(pattern, hint or message) else f"{code}: {message!r}, {hint!r} does not match {pattern!r}"


class Judge:
    """Judges each error of the sources at the moment it comes into being.

    Attributes:
        raised: the codes so far.
    """

    def __init__(self) -> None:
        self.raised: set[str] = set()
        self._new: list[tuple[str, str]] = []
        judge, init = self, AwsRunasError.__init__

        def judged(
            self: AwsRunasError, message: str, *, code: str, hint: str | None = None, details: tuple[str, ...] = ()
        ) -> None:
            init(self, message, code=code, hint=hint, details=details)
            judge._look(self, sys._getframe(1))

        AwsRunasError.__init__ = judged  # type: ignore[method-assign]

    def _look(self, error: AwsRunasError, frame: FrameType) -> None:
        while frame.f_code.co_name == "__init__" and frame.f_back is not None:  # of a class of errors
            frame = frame.f_back
        if frame.f_code.co_filename.startswith(SOURCES):
            self._new.append((error.code, complaint(error.code, error.message, error.hint)))

    def take(self, *, count: bool) -> list[str]:
        """Return what is wrong with the errors since the last call.

        Args:
            count: the errors belong to `raised`.
        """
        new, self._new = self._new, []
        if count:
            self.raised.update(code for code, _ in new)
        return list(dict.fromkeys(wrong for _, wrong in new if wrong))

    def never_raised(self) -> list[str]:
        """Return the codes of FIXES that no test has raised."""
        return sorted(FIXES.keys() - self.raised)
