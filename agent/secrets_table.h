/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What credentials look like: tokens by their beginning, keys by their end, options by their program. Read by
 * secrets.c, and by the plain look that it is compared with (tests/unit/secrets_plain.c).
 *
 * Texts stand in the rows, not behind pointers, which the loader would have to relocate in every program.
 */
#ifndef AGENT_SECRETS_TABLE_H
#define AGENT_SECRETS_TABLE_H

#include "secrets.h"

#define KEY_MAX 48   /* bytes of a key that are looked at, from its end */
#define RUN_MIN 16   /* shortest token, and the run of word characters that makes a text worth a look */
#define BLANKS_MAX 8 /* between a key and its value */

enum kind {
	KIND_NONE,
	KIND_PASSWORD,
	KIND_SECRET,
	KIND_TOKEN,
	KIND_KEY,
	KIND_AUTHORIZATION,
	KIND_COOKIE,
	KIND_URL_PASSWORD,
	KIND_PRIVATE_KEY,
	KIND_JWT,
	KIND_AWS_KEY,
	KIND_GOOGLE_KEY,
	KIND_AZURE_KEY,
	KIND_GITHUB_TOKEN,
	KIND_GITLAB_TOKEN,
	KIND_SLACK_TOKEN,
	KIND_WEBHOOK,
	KIND_STRIPE_KEY,
	KIND_NPM_TOKEN,
	KIND_PYPI_TOKEN,
	KIND_CLOUD_TOKEN,
	KIND_AI_KEY,
	N_KINDS,
};

static const char kind_names[N_KINDS][PYAUDIT_SECRET_KIND_MAX + 1] = {
	[KIND_NONE] = "",
	[KIND_PASSWORD] = "password",
	[KIND_SECRET] = "secret",
	[KIND_TOKEN] = "token",
	[KIND_KEY] = "key",
	[KIND_AUTHORIZATION] = "authorization",
	[KIND_COOKIE] = "cookie",
	[KIND_URL_PASSWORD] = "url-password",
	[KIND_PRIVATE_KEY] = "private-key",
	[KIND_JWT] = "jwt",
	[KIND_AWS_KEY] = "aws-key",
	[KIND_GOOGLE_KEY] = "google-key",
	[KIND_AZURE_KEY] = "azure-key",
	[KIND_GITHUB_TOKEN] = "github-token",
	[KIND_GITLAB_TOKEN] = "gitlab-token",
	[KIND_SLACK_TOKEN] = "slack-token",
	[KIND_WEBHOOK] = "webhook",
	[KIND_STRIPE_KEY] = "stripe-key",
	[KIND_NPM_TOKEN] = "npm-token",
	[KIND_PYPI_TOKEN] = "pypi-token",
	[KIND_CLOUD_TOKEN] = "cloud-token",
	[KIND_AI_KEY] = "ai-key",
};

enum set {
	SET_UPPER, /* A-Z 0-9 */
	SET_HEX,
	SET_ALNUM,
	SET_WORD, /* and _ */
	SET_URL,  /* and - */
	SET_DOTS, /* and . */
	SET_PATH, /* and / */
	SET_BASE64, /* and + / = . ~ _ - : what stands behind Bearer */
};

/* Tokens that begin with what they are, by their first byte. */
struct token {
	char prefix[26];
	uint8_t n_prefix;
	uint8_t kind, set;
	uint8_t min;	/* bytes behind the prefix */
	uint8_t exact;	/* 1: so many and no more */
	uint8_t shown;	/* 1: the prefix is no part of the secret */
};

#define TOKEN(prefix, ...) {prefix, sizeof(prefix) - 1, __VA_ARGS__}
static const struct token tokens[] = {
	TOKEN("ABIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0),
	TOKEN("ACCA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0),
	TOKEN("AGE-SECRET-KEY-1", KIND_PRIVATE_KEY, SET_UPPER, 40, 0, 0),
	TOKEN("AIza", KIND_GOOGLE_KEY, SET_URL, 35, 0, 0),
	TOKEN("AKIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0),
	TOKEN("ASIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0),
	TOKEN("ATATT3", KIND_CLOUD_TOKEN, SET_BASE64, 50, 0, 0),
	TOKEN("GOCSPX-", KIND_GOOGLE_KEY, SET_URL, 24, 0, 0),
	TOKEN("NRAK-", KIND_CLOUD_TOKEN, SET_UPPER, 27, 0, 0),
	TOKEN("PMAK-", KIND_CLOUD_TOKEN, SET_URL, 30, 0, 0),
	TOKEN("SG.", KIND_CLOUD_TOKEN, SET_DOTS, 40, 0, 0),
	TOKEN("SK", KIND_CLOUD_TOKEN, SET_HEX, 32, 1, 0),
	TOKEN("dapi", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0),
	TOKEN("dckr_pat_", KIND_CLOUD_TOKEN, SET_URL, 20, 0, 0),
	TOKEN("discord.com/api/webhooks/", KIND_WEBHOOK, SET_PATH, 20, 0, 1),
	TOKEN("doo_v1_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0),
	TOKEN("dop_v1_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0),
	TOKEN("gho_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0),
	TOKEN("ghp_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0),
	TOKEN("ghr_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0),
	TOKEN("ghs_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0),
	TOKEN("ghu_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0),
	TOKEN("github_pat_", KIND_GITHUB_TOKEN, SET_WORD, 30, 0, 0),
	TOKEN("glcbt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0),
	TOKEN("gldt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0),
	TOKEN("glpat-", KIND_GITLAB_TOKEN, SET_DOTS, 20, 0, 0),
	TOKEN("glptt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0),
	TOKEN("glrt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0),
	TOKEN("glsa_", KIND_CLOUD_TOKEN, SET_WORD, 32, 0, 0),
	TOKEN("hf_", KIND_AI_KEY, SET_ALNUM, 30, 0, 0),
	TOKEN("hooks.slack.com/services/", KIND_WEBHOOK, SET_PATH, 20, 0, 1),
	TOKEN("hvb.", KIND_CLOUD_TOKEN, SET_URL, 24, 0, 0),
	TOKEN("hvs.", KIND_CLOUD_TOKEN, SET_URL, 24, 0, 0),
	TOKEN("key-", KIND_CLOUD_TOKEN, SET_HEX, 32, 1, 0),
	TOKEN("lin_api_", KIND_CLOUD_TOKEN, SET_ALNUM, 32, 0, 0),
	TOKEN("npm_", KIND_NPM_TOKEN, SET_ALNUM, 36, 0, 0),
	TOKEN("ntn_", KIND_CLOUD_TOKEN, SET_ALNUM, 40, 0, 0),
	TOKEN("pypi-", KIND_PYPI_TOKEN, SET_URL, 50, 0, 0),
	TOKEN("rk_live_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0),
	TOKEN("rk_test_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0),
	TOKEN("rubygems_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0),
	TOKEN("secret_", KIND_CLOUD_TOKEN, SET_ALNUM, 43, 1, 0),
	TOKEN("shpat_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0),
	TOKEN("shpca_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0),
	TOKEN("shpss_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0),
	TOKEN("sk-ant-", KIND_AI_KEY, SET_URL, 20, 0, 0),
	TOKEN("sk-proj-", KIND_AI_KEY, SET_URL, 20, 0, 0),
	TOKEN("sk-", KIND_AI_KEY, SET_ALNUM, 40, 0, 0),
	TOKEN("sk_live_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0),
	TOKEN("sk_test_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0),
	TOKEN("sq0atp-", KIND_CLOUD_TOKEN, SET_URL, 22, 0, 0),
	TOKEN("whsec_", KIND_STRIPE_KEY, SET_ALNUM, 24, 0, 0),
	TOKEN("xapp-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("xoxa-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("xoxb-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("xoxp-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("xoxr-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("xoxs-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0),
	TOKEN("ya29.", KIND_GOOGLE_KEY, SET_URL, 20, 0, 0),
};

/* Keys by their end, in small letters and with '_' for '-' and '.'. */
struct word {
	char end[22];
	uint8_t n_end;
	uint8_t kind;
	uint8_t alone; /* 1: a word of its own, so that bypass is not pass */
};

#define WORD(end, ...) {end, sizeof(end) - 1, __VA_ARGS__}
static const struct word words[] = {
	WORD("password", KIND_PASSWORD, 0),
	WORD("passwd", KIND_PASSWORD, 0),
	WORD("passphrase", KIND_PASSWORD, 0),
	WORD("passwort", KIND_PASSWORD, 0),
	WORD("passcode", KIND_PASSWORD, 0),
	WORD("pass", KIND_PASSWORD, 1),
	WORD("pwd", KIND_PASSWORD, 1),
	WORD("secret", KIND_SECRET, 0),
	WORD("secrets", KIND_SECRET, 1),
	WORD("token", KIND_TOKEN, 0),
	WORD("accountkey", KIND_AZURE_KEY, 0),
	WORD("account_key", KIND_AZURE_KEY, 0),
	WORD("sharedaccesskey", KIND_AZURE_KEY, 0),
	WORD("sharedaccesssignature", KIND_AZURE_KEY, 0),
	WORD("apikey", KIND_KEY, 0),
	WORD("api_key", KIND_KEY, 0),
	WORD("access_key", KIND_KEY, 0),
	WORD("accesskey", KIND_KEY, 0),
	WORD("secret_key", KIND_KEY, 0),
	WORD("secretkey", KIND_KEY, 0),
	WORD("private_key", KIND_KEY, 0),
	WORD("privatekey", KIND_KEY, 0),
	WORD("signing_key", KIND_KEY, 0),
	WORD("encryption_key", KIND_KEY, 0),
	WORD("master_key", KIND_KEY, 0),
	WORD("auth_key", KIND_KEY, 0),
	WORD("credential", KIND_SECRET, 0),
	WORD("x_amz_signature", KIND_AWS_KEY, 0),
	WORD("authorization", KIND_AUTHORIZATION, 0),
	WORD("cookie", KIND_COOKIE, 1),
};

/* Options by which programs take a password; those of a program stand together. */
struct option {
	char program[14];
	char option[13];
	uint8_t n_program, n_option;
	uint8_t glued;  /* 1: -pX, 2: -pX and -p X, 0: -p X */
	uint8_t after;  /* of the value, what follows this byte */
};

#define OPTION(program, option, ...) {program, option, sizeof(program) - 1, sizeof(option) - 1, __VA_ARGS__}
static const struct option options[] = {
	OPTION("mysql", "-p", 1, 0),
	OPTION("mysqldump", "-p", 1, 0),
	OPTION("mysqladmin", "-p", 1, 0),
	OPTION("mysqlimport", "-p", 1, 0),
	OPTION("mysqlshow", "-p", 1, 0),
	OPTION("mariadb", "-p", 1, 0),
	OPTION("mariadb-dump", "-p", 1, 0),
	OPTION("mariadb-admin", "-p", 1, 0),
	OPTION("7z", "-p", 1, 0),
	OPTION("sshpass", "-p", 2, 0),
	OPTION("mongo", "-p", 0, 0),
	OPTION("mongosh", "-p", 0, 0),
	OPTION("mongodump", "-p", 0, 0),
	OPTION("docker", "-p", 0, 0),
	OPTION("podman", "-p", 0, 0),
	OPTION("curl", "-u", 2, ':'),
	OPTION("curl", "--user", 0, ':'),
	OPTION("curl", "-U", 2, ':'),
	OPTION("curl", "--proxy-user", 0, ':'),
	OPTION("redis-cli", "-a", 0, 0),
	OPTION("ldapsearch", "-w", 2, 0),
	OPTION("ldapmodify", "-w", 2, 0),
	OPTION("ldapadd", "-w", 2, 0),
	OPTION("smbclient", "-U", 2, '%'),
	OPTION("sqlcmd", "-P", 2, 0),
	OPTION("bcp", "-P", 2, 0),
	OPTION("zip", "-P", 2, 0),
	OPTION("unzip", "-P", 2, 0),
	OPTION("mosquitto_pub", "-P", 0, 0),
	OPTION("mosquitto_sub", "-P", 0, 0),
};

#endif
