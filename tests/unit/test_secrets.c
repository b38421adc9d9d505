/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken for a credential, and what is not. The values are made up, and written in two parts so that
 * nobody who looks for credentials in files finds one here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "own_forms.h"
#include "secrets.h"
#include "verdict.h"

#define A16 "ABCDEFGH23456789"
#define A20 "abcdefghij0123456789"
#define A40 A20 "ABCDEFGHIJ0987654321"
#define H32 "0123456789abcdef0123456789abcdef"

struct one {
	const char *before, *secret, *after; /* the text */
	const char *kind;
	bool code;
};

static const struct one secrets[] = {
	{"", "AKIA" A16, "", "aws-key", false},
	{"id ", "ASIA" A16, ".", "aws-key", false},
	{"aws_secret_access_key = ", A40, "\n", "key", false},
	{"?key=", "AIza" A20 "-_abcdefghij012", "&a=b", "google-key", false},
	{"", "GOCSPX-" A20 "abcdefgh", "", "google-key", false},
	{"x ", "ya29." A20, "", "google-key", false},
	{"clone https://", "ghp_" A20 "abcdefghijklmnop", "@github.com/a/b", "github-token", false},
	{"'", "github_pat_" A40, "'", "github-token", false},
	{"", "glpat-" A20, "", "gitlab-token", false},
	{"", "xoxb-1234567890-" A20, "", "slack-token", false},
	{"https://hooks.slack.com/services/", "T00000000/B00000000/" A20, "", "webhook", false},
	{"https://discord.com/api/webhooks/", "123456789012345678/" A40, "", "webhook", false},
	{"", "sk_live_" A20, "", "stripe-key", false},
	{"", "whsec_" A40, "", "stripe-key", false},
	{"", "npm_" A20 "abcdefghijklmnop", "", "npm-token", false},
	{"-p ", "pypi-AgEIcHlwaS5vcmc" A40, "", "pypi-token", false},
	{"", "SG." A20 "ab." A40, "", "cloud-token", false},
	{"", "dop_v1_" H32 H32, "", "cloud-token", false},
	{"", "hvs." A40, "", "cloud-token", false},
	{"", "SK" H32, "", "cloud-token", false},
	{"", "dckr_pat_" A20, "", "cloud-token", false},
	{"", "shpat_" H32, "", "cloud-token", false},
	{"", "sk-ant-" A40, "", "ai-key", false},
	{"", "sk-proj-" A40, "", "ai-key", false},
	{"", "hf_" A40, "", "ai-key", false},
	{"", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ", " x", "jwt", false},
	{"", "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----", "\n",
	 "private-key", false},
	{"a\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "", "private-key", false},
	{"postgres://app:", "s3cr@t", "@db.example/app?x=1", "url-password", false},
	{"https://u:", "hunter2", "@example.org", "url-password", false},
	{"redis://:", "hunter2", "@cache:6379/0", "url-password", false},
	{"tool --password ", "hunter2", " -v", "password", false},
	{"tool --password=", "hunter2", " -v", "password", false},
	{"tool --db-password '", "hunter two", "' -v", "password", false},
	{"tool --api-key ", "abc", "", "key", false},
	{"mysql -u root -p", "hunter2", " db", "password", false},
	{"/usr/bin/mysqldump -p", "hunter2", " db", "password", false},
	{"sshpass -p ", "hunter2", " ssh host", "password", false},
	{"curl -u me:", "hunter2", " https://example.org", "password", false},
	{"curl -sS --user me:", "hunter2", "", "password", false},
	{"redis-cli -a ", "hunter2", " ping", "password", false},
	{"smbclient //host/share -U me%", "hunter2", "", "password", false},
	{"PGPASSWORD=", "hunter2", " psql", "password", false},
	{"export API_TOKEN='", "a b", "'", "token", false},
	{"Server=db;User Id=sa;Password=", "hunter2", ";Encrypt=no", "password", false},
	{"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=", A40 A40 "==", ";E=c", "azure-key",
	 false},
	{"{\"client_secret\": \"", "abc", "\"}", "secret", false},
	{"grant_type=password&client_secret=", "abc", "&a=b", "secret", false},
	{"Authorization: Basic ", "dTpw", "\r\nHost: x\r\n", "authorization", false},
	{"curl -H 'Authorization: Bearer ", "abc", "' x", "authorization", false},
	{"send bearer ", A20, " now", "authorization", false},
	{"GET / HTTP/1.1\r\nCookie: ", "session=abc; b=c", "\r\n\r\n", "cookie", false},
	{"PASS ", "hunter2", "\r\n", "password", false},
	{"password = '", "hunter2", "'\n", "password", true},
	{"connect(user='x', password=\"", "hunter2", "\")", "password", true},
	{"c = {'api_key': '", "abc", "'}", "key", true},
	{"x = 'Server=a;Password=", "abc", ";'", "password", true},
	{"run(['tool', '--password', '", "hunter2", "'])", "password", true},
	{"url = 'postgres://a:", "b", "@c/d'", "url-password", true},
};

static const struct {
	const char *text;
	bool code;
} look_alikes[] = {
	{"/usr/lib/python3/dist-packages/yaml/__init__.py", false},
	{"password = get_password()", true},
	{"def login(user, password: str = None, token=None):", true},
	{"if password == other.password: pass", true},
	{"self.token = token", true},
	{"bypass=1 compass=north", false},
	{"PWD=/home/user OLDPWD=/", false},
	{"password=${PASSWORD} token=$TOKEN", false},
	{"--password-file /run/secret", false},
	{"--password --verbose", false},
	{"max_tokens=100", false},
	{"AKIA", false},
	{"AKIAabcdefghijklmnop", false},
	{"ghp_short", false},
	{"xghp_" A20 "abcdefghijklmnop", false},
	{"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", false},
	{"-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", false},
	{"https://example.org:8080/a@b", false},
	{"https://user@example.org/", false},
	{"cp -p a b; tar -pxf x.tar", false},
	{"mysql -u root -p db", false},
	{"curl -u me https://example.org", false},
	{"0123456789abcdef0123456789abcdef01234567", false},
	{"12345678-1234-1234-1234-123456789012", false},
	{"eyJhbGci", false},
	{"sk-learn scikit-learn-intelex-something", false},
	{"password=", false},
	{"password: <redacted:password>", false},
	{"parser.add_argument('--password', help='the password')", true},
	{"parser.add_argument('--token', '-t')", true},
	{"key = 'monkey'", true},
	{"token", false},
	{"from secrets import token_hex", true},
};

static struct pyaudit_value
text_of(const char *s)
{
	return pyaudit_value_text(s, strlen(s));
}

static void
every_form_is_replaced_and_nothing_else(void **state)
{
	(void)state;
	assert_true(sizeof(secrets) / sizeof(secrets[0]) >= 30);
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		const struct one *one = &secrets[i];
		struct pyaudit_secrets ctx = {.code = one->code};
		char whole[1024], wanted[1024], out[1024];
		struct pyaudit_value text;
		size_t n;

		(void)snprintf(whole, sizeof(whole), "%s%s%s", one->before, one->secret, one->after);
		(void)snprintf(wanted, sizeof(wanted), "%s<redacted:%s>%s", one->before, one->kind,
			       one->after);
		text = text_of(whole);
		if (!pyaudit_secret_likely(&ctx, &text))
			fail_msg("not looked at: %s", whole);
		n = pyaudit_redact(&ctx, &text, out, sizeof(out) - 1);
		out[n] = 0;
		assert_string_equal(out, wanted);
	}
}

static void
what_is_redacted_stays_as_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		struct pyaudit_secrets ctx = {.code = secrets[i].code};
		char once[1024], twice[1024];
		struct pyaudit_value text;
		size_t n;

		(void)snprintf(once, sizeof(once), "%s<redacted:%s>%s", secrets[i].before,
			       secrets[i].kind, secrets[i].after);
		text = text_of(once);
		n = pyaudit_redact(&ctx, &text, twice, sizeof(twice) - 1);
		twice[n] = 0;
		assert_string_equal(twice, once);
	}
}

static void
look_alikes_are_left_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(look_alikes) / sizeof(look_alikes[0]); i++) {
		struct pyaudit_secrets ctx = {.code = look_alikes[i].code};
		struct pyaudit_value text = text_of(look_alikes[i].text);
		char out[1024];
		size_t n;

		(void)pyaudit_secret_likely(&ctx, &text);
		n = pyaudit_redact(&ctx, &text, out, sizeof(out) - 1);
		out[n] = 0;
		assert_string_equal(out, look_alikes[i].text);
	}
}

/* The words of a command, each a text, through a record. */
static void
command_is_redacted(const char *const *words, unsigned n, unsigned secret, const char *wanted)
{
	struct pyaudit_value items[8], args[2] = {text_of("/bin/x"), {.type = PYAUDIT_TAG_LIST}};
	struct pyaudit_event event = {.id = PYAUDIT_EV_SUBPROCESS_POPEN, .n_args = 2, .args = args};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;
	size_t size;

	for (unsigned i = 0; i < n; i++)
		items[i] = text_of(words[i]);
	args[1].items = items;
	args[1].n_items = (uint16_t)n;
	args[1].full_len = n;
	size = pyaudit_record_encode(out, &event, &verdict, 1, 2, 3, 4);
	assert_int_equal(pyaudit_record_decode(&d, out, size), 0);
	assert_int_equal(d.event.args[1].n_items, n);
	for (unsigned i = 0; i < n; i++) {
		const struct pyaudit_value *v = &d.event.args[1].items[i];
		const char *text = i == secret ? wanted : words[i];

		assert_int_equal(v->len, strlen(text));
		assert_memory_equal(v->s, text, v->len);
	}
}

static void
words_of_a_command_are_known_by_those_before(void **state)
{
	static const char *const separate[] = {"tool", "--password", "-hunter2", "-v"};
	static const char *const glued[] = {"/usr/bin/mysql", "-u", "root", "-phunter2"};
	static const char *const user[] = {"curl", "-u", "me:hunter two", "https://example.org"};
	static const char *const whole[] = {"tool", "PASSWORD=a b;c&d", "x"};
	static const char *const other[] = {"cp", "-pr", "a", "b"};

	(void)state;
	command_is_redacted(separate, 4, 2, "<redacted:password>");
	command_is_redacted(glued, 4, 3, "-p<redacted:password>");
	command_is_redacted(user, 4, 2, "me:<redacted:password>");
	command_is_redacted(whole, 3, 1, "PASSWORD=<redacted:password>");
	command_is_redacted(other, 4, 4, "");
}

static void
a_variable_is_known_by_its_name(void **state)
{
	struct pyaudit_value args[2] = {text_of("DB_PASSWORD"), text_of("hunter2")};
	struct pyaudit_event event = {.id = PYAUDIT_EV_OS_PUTENV, .n_args = 2, .args = args};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;

	(void)state;
	assert_int_equal(pyaudit_record_decode(&d, out, pyaudit_record_encode(out, &event, &verdict, 1,
									     2, 3, 4)),
			 0);
	assert_int_equal(d.event.args[1].len, strlen("<redacted:password>"));
	assert_memory_equal(d.event.args[1].s, "<redacted:password>", d.event.args[1].len);
}

/* The kinds of an event's arguments, joined by blanks. */
static void
assert_kinds(uint16_t id, const struct pyaudit_value *args, uint8_t n_args, const char *wanted)
{
	static _Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
	struct pyaudit_event event = {.id = id, .n_args = n_args, .args = args, .scratch = scratch,
				      .scratch_size = sizeof(scratch)};
	struct pyaudit_value kinds = {0};
	char said[256] = "";

	if (pyaudit_field(&event, PYAUDIT_F_SECRET_KIND, &kinds))
		for (unsigned i = 0; i < kinds.n_items; i++)
			(void)snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s%.*s",
				       i > 0 ? " " : "", (int)kinds.items[i].len, kinds.items[i].s);
	assert_string_equal(said, wanted);
}

static void
rules_ask_for_kinds(void **state)
{
	struct pyaudit_value words[4] = {text_of("mysql"), text_of("-phunter2"), text_of("ghp_" A40),
					 text_of("--password=x")};
	struct pyaudit_value args[2] = {
		text_of("/usr/bin/mysql"),
		{.type = PYAUDIT_TAG_LIST, .n_items = 4, .full_len = 4, .items = words}};
	struct pyaudit_value told = text_of("tool --token <redacted:jwt> <redacted:nothing>");
	struct pyaudit_value plain = text_of("ls -l /tmp");
	struct pyaudit_value variable[2] = {text_of("API_TOKEN"), text_of("x1")};

	(void)state;
	assert_kinds(PYAUDIT_EV_SUBPROCESS_POPEN, args, 2, "password github-token");
	assert_kinds(PYAUDIT_EV_OS_SYSTEM, &told, 1, "jwt");
	assert_kinds(PYAUDIT_EV_OS_SYSTEM, &plain, 1, "");
	assert_kinds(PYAUDIT_EV_OS_PUTENV, variable, 2, "token");
}

static void
what_was_cut_off_hides_nothing(void **state)
{
	static char long_text[PYAUDIT_TEXT_MAX];
	struct pyaudit_value args[2] = {{0}, text_of("f.py")};
	struct pyaudit_event event = {.id = PYAUDIT_EV_COMPILE, .n_args = 1, .args = args};
	struct pyaudit_verdict verdict = {.action = PYAUDIT_ACTION_RECORD};
	uint8_t out[PYAUDIT_RECORD_MAX];
	struct pyaudit_decoded d;

	(void)state;
	memset(long_text, 'a', sizeof(long_text));
	memcpy(long_text + sizeof(long_text) - 12, " ghp_abcdefg", 12);
	args[0] = pyaudit_value_text(long_text, sizeof(long_text));
	args[0].full_len = sizeof(long_text) + 100;
	args[0].flags = PYAUDIT_VALUE_CUT;
	assert_int_equal(pyaudit_record_decode(&d, out, pyaudit_record_encode(out, &event, &verdict, 1,
									     2, 3, 4)),
			 0);
	assert_null(memmem(d.event.args[0].s, d.event.args[0].len, "ghp_", 4));
	assert_int_equal(d.event.args[0].full_len, sizeof(long_text) + 100);
	assert_int_equal(d.event.args[0].flags, PYAUDIT_VALUE_CUT);
}

/* Any bytes: results within the text, in order, and in time linear in it. */
static void
any_text_is_bounded(void **state)
{
	static const char *const parts[] = {"eyJ", "-----BEGIN ", "://", ",-", "a,", "eyJ.", "a:", "@", "=", "password", "\"",
					    "'", "\\", "--token", " ", "-p", "mysql ", "ghp_", "\n", "%3D",
					    "PRIVATE KEY", "K", "bearer ", "A", ".", "{", "<redacted:"};
	static char text[PYAUDIT_TEXT_MAX];

	(void)state;
	srand(4);
	for (unsigned round = 0; round < 3000; round++) {
		struct pyaudit_secrets ctx = {.code = rand() % 2 == 0, .word = rand() % 2 == 0};
		struct pyaudit_secret secret = {0};
		struct pyaudit_value v;
		size_t len = 0, n = sizeof(parts) / sizeof(parts[0]);
		uint32_t at = 0;

		for (unsigned i = 0, few = 1 + (unsigned)rand() % 40; i < few; i++) {
			const char *part = parts[(unsigned)rand() % n];

			if (len + strlen(part) > 400)
				break;
			memcpy(text + len, part, strlen(part));
			len += strlen(part);
		}
		v = pyaudit_value_text(text, len);
		while (pyaudit_secret_next(&ctx, &v, at, &secret)) {
			assert_true(secret.from >= at && secret.to > secret.from && secret.to <= len);
			assert_in_range(strlen(pyaudit_secret_kind(&ctx, secret.kind)), 1,
					PYAUDIT_SECRET_KIND_MAX);
			at = secret.to;
		}
	}
	for (size_t i = 0; i < 2 * sizeof(parts) / sizeof(parts[0]); i++) {
		const char *part = parts[i / 2];
		struct pyaudit_secrets ctx = {.word = i % 2 == 0};
		char out[PYAUDIT_TEXT_MAX];
		struct timespec a, b;
		struct pyaudit_value v;
		size_t len = 0;

		for (; len + strlen(part) <= sizeof(text); len += strlen(part))
			memcpy(text + len, part, strlen(part));
		v = pyaudit_value_text(text, len);
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		(void)pyaudit_redact(&ctx, &v, out, sizeof(out));
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		/* Quadratic would be some ten million steps and more. */
		assert_true((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec < 20000000L);
	}
}

/* What the site's own rules name is found where the others are, and as long as it is in use. */
static void
own_forms_are_replaced_by_their_kind(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"acme_0123456789abcdef", "<redacted:acme-token>"},
		{"acme_0123456789abcdefABCDEF rest", "<redacted:acme-token> rest"},
		{"x=acme_0123456789abcdef,y", "x=<redacted:acme-token>,y"},
		{"a acme_0123456789abcde", "a acme_0123456789abcde"},
		{"myacme_0123456789abcdef", "myacme_0123456789abcdef"},
		{"/srv/acme_0123456789abcdef", "/srv/<redacted:acme-token>"},
		{"KEY-0123456789ABCDEF", "<redacted:hardware>"},
		{"KEY-0123456789abcdef", "KEY-0123456789abcdef"},
	};
	struct pyaudit_forms *forms = own_forms();
	struct pyaudit_value arg = pyaudit_value_text(cases[0].text, strlen(cases[0].text));
	char scratch[PYAUDIT_SCRATCH_SIZE] __attribute__((aligned(8)));
	struct pyaudit_event event = {.id = PYAUDIT_EV_OPEN, .n_args = 1, .args = &arg,
				      .scratch = scratch, .scratch_size = sizeof(scratch)};
	struct pyaudit_value kinds;

	(void)state;
	for (unsigned used = 0; used < 2; used++) {
		pyaudit_secrets_use(used ? forms : NULL);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct pyaudit_value v = pyaudit_value_text(cases[i].text, strlen(cases[i].text));
			struct pyaudit_secrets ctx = {.own = NULL};
			char out[128];
			size_t n = v.len;

			memcpy(out, v.s, v.len);
			if (pyaudit_secret_likely(&ctx, &v))
				n = pyaudit_redact(&ctx, &v, out, sizeof(out));
			out[n] = '\0';
			assert_string_equal(out, used ? cases[i].expected : cases[i].text);
		}
		event.scratch_len = 0;
		assert_int_equal(pyaudit_field(&event, PYAUDIT_F_SECRET_KIND, &kinds), used);
	}
	assert_int_equal(kinds.n_items, 1);
	assert_memory_equal(kinds.items[0].s, "acme-token", kinds.items[0].len);
	arg = pyaudit_value_text("<redacted:hardware>", 19);
	event.scratch_len = 0;
	assert_true(pyaudit_field(&event, PYAUDIT_F_SECRET_KIND, &kinds));
	assert_memory_equal(kinds.items[0].s, "hardware", kinds.items[0].len);
	pyaudit_secrets_forget(forms);
	event.scratch_len = 0;
	assert_false(pyaudit_field(&event, PYAUDIT_F_SECRET_KIND, &kinds));
	free(forms);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_replaced_and_nothing_else),
		cmocka_unit_test(what_is_redacted_stays_as_it_is),
		cmocka_unit_test(look_alikes_are_left_alone),
		cmocka_unit_test(words_of_a_command_are_known_by_those_before),
		cmocka_unit_test(a_variable_is_known_by_its_name),
		cmocka_unit_test(rules_ask_for_kinds),
		cmocka_unit_test(what_was_cut_off_hides_nothing),
		cmocka_unit_test(any_text_is_bounded),
		cmocka_unit_test(own_forms_are_replaced_by_their_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
