/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pyauditctl run`: one command under a monitor of its own.
 *
 * The command is to notice as little as possible. It stays in our process group, so terminal and
 * shell treat it as without us: ^C, ^\ and ^Z reach it from the terminal, and we ignore the first
 * two and stop with the third. Signals that another process sends to us are meant for the command
 * and are passed on. Descriptors, dispositions and mask are handed on as we found them.
 *
 * Signal handlers do the passing on themselves, so that it does not wait for a slow terminal;
 * they wake the loop by a pipe.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "capture_stream.h"
#include "cleanup.h"
#include "client.h"
#include "ctl.h"
#include "monitor.h"
#include "pyaudit/events.h"
#include "pyaudit/wire.h"
#include "writer.h"

#define RECORD_DEFAULT "exec,network,native,unpickle,tamper"
#define LINES_PER_TURN 500  /* events shown before we look at anything else */
#define DRAIN_IDLE_MS 15000 /* at the end: a monitor that says nothing for so long is stuck */
#define DRAIN_GRACE_MS 2000 /* which it has also when a signal says to hurry */

static const char help[] =
	"Usage: pyauditctl run [OPTION...] [--] COMMAND [ARG...]\n"
	"\n"
	"Runs COMMAND under a private monitor: no root, no service. What it does appears on\n"
	"standard error, what rules deny is refused. Input, terminal, signals and the exit status\n"
	"are the command's own.\n"
	"\n"
	"  --rules PATH        rules beside the shipped ones, a file or directory; may be\n"
	"                      repeated\n"
	"  --no-default-rules  leave out the shipped rules\n"
	"  --profile NAME      server (default), build (pip, setup scripts), agent (untrusted code:\n"
	"                      deny by default) or audit (record everything, refuse nothing)\n"
	"  --observe           refuse nothing: say what would have been refused\n"
	"  --record CLASSES    what to record without a rule: exec, file, network, import,\n"
	"                      native, code, unpickle, startup, tamper, process, separated by\n"
	"                      commas, or all\n"
	"                      (default: " RECORD_DEFAULT ")\n"
	"  --json PATH         write events as JSON lines to PATH; -: to standard output, in the\n"
	"                      place of text on standard error\n"
	"  --capture FILE      write what happens into FILE as well, for `pyauditctl replay`\n"
	"  -q, --quiet         show neither events nor summary\n"
	"\n"
	"Examples:\n"
	"  pyauditctl run -- python3 app.py\n"
	"  pyauditctl run --rules deny-exec.json -- python3 -c 'import os; os.system(\"id\")'\n"
	"  pyauditctl run --profile agent -- python3 untrusted.py\n"
	"  pyauditctl run --record all --json events.ndjson --quiet -- pip install ./package\n"
	"\n"
	"Exit status: the command's; 128+N if signal N ended it; 127 no such command, 126 it\n"
	"cannot be executed, 125 no monitor, 2 mistake on the command line or in rules: then it\n"
	"was not run.\n";

struct run {
	struct monitor_options options;
	const char **rules;
	const char *json;
	const char *capture_file; /* or NULL */
	bool quiet;
	char **command;

	struct monitor monitor;
	struct client events; /* tail; fd -1: nobody looks at events, or the monitor has gone */
	struct writer writer;
	bool writes_json;
	FILE *json_out;       /* --json to what is no regular file */
	struct capture_stream capture;
	char *ndjson;         /* --json to a file: its absolute path */

	pid_t *processes; /* seen to start, in order of their numbers */
	size_t n_processes;

	bool monitor_died;
	struct timespec last_line; /* when the newest event came */
	pid_t pid;                 /* the command, once it runs */
};

/* What the handlers know. */
static volatile sig_atomic_t command_pid; /* 0: before it started, or after it ended */
static volatile sig_atomic_t caught;      /* signal while there was no command */
static int wake_pipe[2] = {-1, -1};

/* Signals that we have handlers for, or ignore; found is what the command gets back. */
static const int handled_signals[] = {
	SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGIO,   SIGPWR,
	SIGCONT, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU, SIGCHLD, SIGPIPE,
};
#define N_HANDLED (sizeof(handled_signals) / sizeof(handled_signals[0]))
static struct sigaction found[N_HANDLED];
static sigset_t found_mask;

static bool
is_stop_signal(int signal_number)
{
	return signal_number == SIGTSTP || signal_number == SIGTTIN || signal_number == SIGTTOU;
}

/* Stops us as if there were no handler; nothing happens in an orphaned process group. */
static void
stop_self(int signal_number)
{
	struct sigaction handler, standard = {.sa_handler = SIG_DFL};
	sigset_t set, mask;

	(void)sigaction(signal_number, &standard, &handler);
	(void)raise(signal_number);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, signal_number);
	(void)sigprocmask(SIG_UNBLOCK, &set, &mask); /* here it stops */
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	(void)sigaction(signal_number, &handler, NULL);
}

/* From the terminal or the kernel, the command has got the signal itself. */
static void
on_signal(int signal_number, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	bool from_process = info->si_code <= 0 && info->si_pid != command_pid;
	ssize_t n;

	(void)context;
	if (signal_number == SIGCHLD) {
		/* only to wake the loop */
	} else if (command_pid > 0 && from_process) {
		(void)kill(command_pid, signal_number);
	} else if (is_stop_signal(signal_number)) {
		if (info->si_pid != command_pid) /* else the loop sees the command stop */
			stop_self(signal_number);
	} else if (command_pid == 0 && signal_number != SIGCONT && signal_number != SIGWINCH) {
		caught = signal_number;
	}
	n = write(wake_pipe[1], "", 1); /* full is as good as written */
	(void)n;
	errno = saved_errno;
}

static bool
interrupted(void)
{
	return caught != 0;
}

static int
set_up_signals(void)
{
	sigset_t ours;
	size_t i;

	if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	(void)sigemptyset(&ours);
	for (i = 0; i < N_HANDLED; i++) {
		struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
		int signal_number = handled_signals[i];

		(void)sigfillset(&action.sa_mask);
		if (signal_number == SIGCHLD)
			action.sa_flags |= SA_RESTART;
		(void)sigaction(signal_number, NULL, &found[i]);
		/* nohup and background jobs of plain shells: ignored stays ignored. */
		if (found[i].sa_handler == SIG_IGN && signal_number != SIGCHLD)
			continue;
		if (signal_number == SIGPIPE) {
			action.sa_flags = 0;
			action.sa_handler = SIG_IGN;
		}
		(void)sigaction(signal_number, &action, NULL);
		(void)sigaddset(&ours, signal_number);
	}
	(void)sigprocmask(SIG_UNBLOCK, &ours, &found_mask);
	return 0;
}

static void
give_signals_back(void)
{
	size_t i;

	for (i = 0; i < N_HANDLED; i++)
		(void)sigaction(handled_signals[i], &found[i], NULL);
	(void)sigprocmask(SIG_SETMASK, &found_mask, NULL);
}

static void
drain_wake_pipe(void)
{
	char bytes[64];

	while (read(wake_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}

/* The command line */

static int
check_record(const char *list)
{
	const char *names[PYAUDIT_N_CLASSES + 1];
	CLEANUP(freep) char *copy = strdup(list);
	char *rest = copy, *name;
	size_t i;

	for (i = 0; i < PYAUDIT_N_CLASSES; i++)
		names[i] = pyaudit_class_names[i];
	names[PYAUDIT_N_CLASSES] = "all";
	while (rest != NULL && (name = strsep(&rest, ",")) != NULL) {
		const char *nearest;

		if (pyaudit_class_by_name(name, strlen(name)) != 0)
			continue;
		nearest = ctl_nearest(name, names, PYAUDIT_N_CLASSES + 1);
		if (nearest != NULL)
			return ctl_usage_error("run",
					       "--record: unknown class '%s', did you mean '%s'?",
					       name, nearest);
		return ctl_usage_error("run", "--record: unknown class '%s'", name);
	}
	return CTL_OK;
}

static int
check_rules(const struct monitor_options *options)
{
	size_t i;

	for (i = 0; i < options->n_rules; i++) {
		if (access(options->rules[i], R_OK) == 0)
			continue;
		ctl_error("cannot read the rules '%s': %s", options->rules[i], strerror(errno));
		return CTL_USAGE;
	}
	return CTL_OK;
}

/* CTL_OK with a command to run, CTL_OK without one (help was shown), or an exit code. */
static int
parse_options(struct run *run, int argc, char **argv)
{
	enum { RULES = 256, NO_DEFAULT_RULES, PROFILE, OBSERVE, RECORD, JSON, CAPTURE, QUIET, HELP };
	static const struct option options[] = {
		{"rules", required_argument, NULL, RULES},
		{"no-default-rules", no_argument, NULL, NO_DEFAULT_RULES},
		{"profile", required_argument, NULL, PROFILE},
		{"observe", no_argument, NULL, OBSERVE},
		{"record", required_argument, NULL, RECORD},
		{"json", required_argument, NULL, JSON},
		{"capture", required_argument, NULL, CAPTURE},
		{"quiet", no_argument, NULL, QUIET},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	run->options.record = RECORD_DEFAULT;
	run->rules = calloc((size_t)argc, sizeof(*run->rules));
	if (run->rules == NULL)
		return CTL_RUN_MONITOR;
	run->options.rules = run->rules;
	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:hq", options, NULL)) != -1) {
		switch (option) {
		case RULES:
			run->rules[run->options.n_rules++] = optarg;
			break;
		case NO_DEFAULT_RULES:
			run->options.no_default_rules = true;
			break;
		case PROFILE:
			if (ctl_check_profile("run", optarg) != CTL_OK)
				return CTL_USAGE;
			run->options.profile = optarg;
			break;
		case OBSERVE:
			run->options.observe = true;
			break;
		case RECORD:
			run->options.record = optarg;
			break;
		case JSON:
			run->json = optarg;
			break;
		case CAPTURE:
			run->capture_file = optarg;
			break;
		case 'q':
		case QUIET:
			run->quiet = true;
			break;
		case 'h':
		case HELP:
			(void)fputs(help, stdout);
			return CTL_OK;
		case ':':
			return ctl_usage_error("run", "option '%s' needs a value",
					       argv[optind - 1]);
		default:
			return ctl_usage_error("run", "unknown option '%s'", argv[optind - 1]);
		}
	}
	if (optind == argc)
		return ctl_usage_error("run", "no command given");
	if (run->options.profile != NULL && run->options.no_default_rules)
		return ctl_usage_error("run", "a profile stands on the shipped rules: "
					      "--no-default-rules leaves them out");
	run->command = argv + optind;
	option = check_record(run->options.record);
	return option == CTL_OK ? check_rules(&run->options) : option;
}

/* Where events go */

/* Empties or creates the file of --json. A regular file is the daemon's to write, so that it is
 * whole whatever happens to us; into a pipe or device we write what we are told. */
static int
open_json(struct run *run)
{
	CLEANUP(closep) int fd = -1;
	struct stat st;

	if (run->json == NULL || strcmp(run->json, "-") == 0)
		return CTL_OK;
	fd = open(run->json, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0 || fstat(fd, &st) != 0) {
		ctl_error("cannot write to '%s': %s", run->json, strerror(errno));
		return CTL_RUN_MONITOR;
	}
	if (S_ISREG(st.st_mode)) {
		run->ndjson = realpath(run->json, NULL);
		run->options.ndjson = run->ndjson;
		if (run->ndjson != NULL)
			return CTL_OK;
	}
	run->json_out = fdopen(fd, "w");
	if (run->json_out == NULL) {
		ctl_error("cannot write to '%s': %s", run->json, strerror(errno));
		return CTL_RUN_MONITOR;
	}
	fd = -1;
	return CTL_OK;
}

/* Decides how events are shown; false: they are not. */
static bool
choose_writer(struct run *run)
{
	run->writes_json =
		run->json_out != NULL || (run->json != NULL && strcmp(run->json, "-") == 0);
	if (run->json_out != NULL)
		writer_json_init(&run->writer, run->json_out);
	else if (run->writes_json)
		writer_json_init(&run->writer, stdout);
	else if (!run->quiet)
		writer_text_init(&run->writer, stderr);
	else
		return false;
	return true;
}

static int
connect_events(struct run *run)
{
	CLEANUP(json_freep) cJSON *answer = NULL;
	int r = client_open(&run->events, run->monitor.dir);

	if (r == 0)
		r = client_ask(&run->events, "tail", &answer, NULL);
	if (r < 0)
		client_explain(run->monitor.dir, r);
	else if (!client_accepted(answer))
		r = -EBADMSG;
	return r < 0 ? CTL_RUN_MONITOR : CTL_OK;
}

static int
start_capture(struct run *run)
{
	const struct capture_request request = {.dir = run->monitor.dir};

	if (run->capture_file == NULL)
		return CTL_OK;
	return capture_stream_ask(&run->capture, &request) == CTL_OK ? CTL_OK : CTL_RUN_MONITOR;
}

/* The daemon's lines begin so: what is not needed is not parsed. */
static bool
is_kind(const char *line, const char *kind)
{
	char member[32];
	const char *at;

	(void)snprintf(member, sizeof(member), "\"kind\":\"%s\"", kind);
	at = strstr(line, member);
	return at != NULL && at - line < 64;
}

static void
count_process(struct run *run, pid_t pid)
{
	size_t at = 0, end = run->n_processes;
	pid_t *grown;

	while (at < end) {
		size_t middle = at + (end - at) / 2;

		if (run->processes[middle] == pid)
			return; /* it executed another program */
		if (run->processes[middle] < pid)
			at = middle + 1;
		else
			end = middle;
	}
	if ((run->n_processes & (run->n_processes + 1)) == 0) { /* one less than a power of two */
		grown = realloc(run->processes, (2 * run->n_processes + 2) * sizeof(pid_t));
		if (grown == NULL)
			return;
		run->processes = grown;
	}
	memmove(run->processes + at + 1, run->processes + at,
		(run->n_processes - at) * sizeof(pid_t));
	run->processes[at] = pid;
	run->n_processes++;
}

/* Counts the processes; whether the line is for people here, who see commands begin and end. */
static bool
look_at_line(struct run *run, const char *line)
{
	CLEANUP(json_freep) cJSON *process = NULL;
	const cJSON *pid;
	const char *event;

	if (!is_kind(line, "process"))
		return !is_kind(line, "status");
	process = cJSON_Parse(line);
	pid = cJSON_GetObjectItemCaseSensitive(process, "pid");
	event = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(process, "event"));
	if (!cJSON_IsNumber(pid) || event == NULL || strcmp(event, "process.start") != 0)
		return false;
	count_process(run, (pid_t)pid->valuedouble);
	return true;
}

/* Shows what has come, some lines of it. Whether there may be more already. */
static bool
show_events(struct run *run)
{
	unsigned i;
	int r = 1, w = 0;

	if (run->events.fd < 0)
		return false;
	for (i = 0; i < LINES_PER_TURN && r == 1 && w == 0; i++) {
		size_t len;
		char *line;

		r = client_line(&run->events, &line, &len, 0);
		if (r != 1)
			break;
		(void)clock_gettime(CLOCK_REALTIME, &run->last_line);
		if (look_at_line(run, line) || run->writes_json)
			w = writer_line(&run->writer, line, len);
		if (w == -EBADMSG)
			w = 0;
	}
	if (w == 0)
		w = writer_flush(&run->writer);
	if (w != 0 || (r != 1 && r != -EAGAIN)) /* nobody reads it, or nobody sends */
		client_close(&run->events);
	return r == 1 && w == 0;
}

/* The command */

static int
set_environment(const struct run *run)
{
	const char *others = getenv("LD_PRELOAD");
	CLEANUP(freep) char *copy = strdup(others == NULL ? "" : others);
	char *rest = copy, *name;
	struct buf preload;
	bool failed;

	if (copy == NULL)
		return -ENOMEM;
	buf_init(&preload);
	buf_add_str(&preload, run->monitor.agent);
	while ((name = strsep(&rest, ": ")) != NULL) {
		if (name[0] == '\0' || strcmp(name, run->monitor.agent) == 0)
			continue;
		buf_add_char(&preload, ':');
		buf_add_str(&preload, name);
	}
	buf_add_char(&preload, '\0');
	failed = preload.failed || setenv("LD_PRELOAD", preload.data, 1) != 0 ||
		 setenv(PYAUDIT_ENV_DIR, run->monitor.dir, 1) != 0 ||
		 unsetenv(PYAUDIT_ENV_DISABLE) != 0;
	buf_fini(&preload);
	return failed ? -ENOMEM : 0;
}

/* Whether PATH has a file of that name. execvp says "permission denied" also when it could merely
 * not look into some directory. */
static bool
is_in_path(const char *name)
{
	const char *path = getenv("PATH");
	CLEANUP(freep) char *copy = strdup(path == NULL ? "/bin:/usr/bin" : path);
	char *rest = copy, *directory;

	while (rest != NULL && (directory = strsep(&rest, ":")) != NULL) {
		char file[PATH_MAX];
		int n = snprintf(file, sizeof(file), "%s/%s",
				 directory[0] == '\0' ? "." : directory, name);

		if (n > 0 && (size_t)n < sizeof(file) && access(file, F_OK) == 0)
			return true;
	}
	return false;
}

static int
explain_exec(const char *name, int error)
{
	if ((error == ENOENT || error == EACCES) && strchr(name, '/') == NULL &&
	    !is_in_path(name)) {
		ctl_error("%s: command not found", name);
		return CTL_RUN_NOT_FOUND;
	}
	if (error == ENOENT && access(name, F_OK) == 0) {
		ctl_error("%s: its interpreter is not there", name);
		return CTL_RUN_NOT_FOUND;
	}
	if (error == ENOENT || error == ENOTDIR) {
		ctl_error("%s: no such file", name);
		return CTL_RUN_NOT_FOUND;
	}
	ctl_error("%s: cannot execute: %s", name, strerror(error));
	return CTL_RUN_NOT_EXECUTABLE;
}

/* CTL_OK with the command running, or an exit code. */
static int
start_command(struct run *run)
{
	CLEANUP(closep) int report_fd = -1;
	sigset_t all, mask;
	int report[2];
	int error = 0;
	ssize_t n;

	if (set_environment(run) != 0 || pipe2(report, O_CLOEXEC) != 0) {
		ctl_error("cannot start %s: %s", run->command[0], strerror(errno));
		return CTL_RUN_MONITOR;
	}
	report_fd = report[0];
	(void)fflush(NULL);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &mask);
	run->pid = caught != 0 ? 0 : fork();
	if (run->pid == 0 && caught == 0) {
		give_signals_back();
		(void)execvp(run->command[0], run->command);
		error = errno;
		n = write(report[1], &error, sizeof(error));
		(void)n;
		_exit(CTL_RUN_NOT_FOUND);
	}
	if (run->pid > 0)
		command_pid = run->pid;
	else
		error = errno;
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	(void)close(report[1]);
	if (run->pid == 0)
		return CTL_RUN_SIGNAL + caught;
	if (run->pid < 0) {
		ctl_error("cannot start %s: %s", run->command[0], strerror(error));
		return CTL_RUN_MONITOR;
	}
	do {
		n = read(report_fd, &error, sizeof(error)); /* its end: exec closed it */
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(error))
		return CTL_OK;
	command_pid = 0;
	while (waitpid(run->pid, NULL, 0) < 0 && errno == EINTR)
		;
	return explain_exec(run->command[0], error);
}

/* The command has stopped: so should we, or the shell would not know. Not for a SIGSTOP in the
 * middle of a pipeline or script, where nobody would wake us again. */
static void
follow_stop(int signal_number)
{
	if (is_stop_signal(signal_number) || getpgrp() == getpid())
		stop_self(SIGTSTP);
}

/* Whether the command has ended, and how. */
static bool
command_has_ended(struct run *run, int *ret_status)
{
	siginfo_t info = {0};
	int status;

	if (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT) != 0 ||
	    info.si_pid == 0)
		return false;
	if (info.si_code != CLD_STOPPED)
		command_pid = 0; /* before its number can be another's */
	if (waitpid(run->pid, &status, WUNTRACED | WNOHANG) != run->pid)
		return false;
	if (WIFSTOPPED(status)) {
		follow_stop(WSTOPSIG(status));
		return false;
	}
	*ret_status = status;
	return true;
}

static void
look_at_monitor(struct run *run)
{
	monitor_read_log(&run->monitor);
	if (!run->monitor_died && monitor_has_ended(&run->monitor))
		run->monitor_died = true;
}

/* Until the command ends. Its status as of waitpid. */
static int
watch_command(struct run *run)
{
	bool more = false;
	int status;

	while (!command_has_ended(run, &status)) {
		struct pollfd fds[] = {{.fd = wake_pipe[0], .events = POLLIN},
				       {.fd = run->monitor.log_fd, .events = POLLIN},
				       {.fd = run->events.fd, .events = POLLIN},
				       {.fd = run->capture.client.fd, .events = POLLIN}};

		(void)poll(fds, 4, more ? 0 : -1);
		drain_wake_pipe();
		look_at_monitor(run);
		more = capture_stream_take(&run->capture);
		more = show_events(run) || more;
	}
	return status;
}

/* The end */

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* How long to wait for the daemon's next word, 0: no longer. The signal that ended the command may
 * come to us a second time (timeout(1) signals a process and then its group): it must not cost
 * events. */
static int
patience_ms(int64_t begun_ms)
{
	int64_t left = begun_ms + DRAIN_GRACE_MS - now_ms();

	if (caught == 0)
		return DRAIN_IDLE_MS;
	return left > 0 ? (int)left : 0;
}

/* Tells the daemon to read everything to its end and to end itself, and shows what still comes.
 * Its last words are in *ret_status then. Gives up on a daemon that does nothing any more, or on
 * a signal: the user's patience is the limit. */
static bool
stop_monitor(struct run *run, cJSON **ret_status)
{
	CLEANUP(client_close) struct client control = CLIENT_INIT;
	CLEANUP(json_freep) cJSON *request = cJSON_CreateObject();
	int64_t begun_ms = now_ms();
	bool more = false;
	int r, wait_ms;

	if (cJSON_AddStringToObject(request, "request", "stop") == NULL ||
	    client_open(&control, run->monitor.dir) != 0 || client_send(&control, request) != 0)
		return false;
	while (control.fd >= 0 || run->events.fd >= 0 || run->capture.client.fd >= 0) {
		struct pollfd fds[] = {{.fd = wake_pipe[0], .events = POLLIN},
				       {.fd = run->monitor.log_fd, .events = POLLIN},
				       {.fd = run->events.fd, .events = POLLIN},
				       {.fd = control.fd, .events = POLLIN},
				       {.fd = run->capture.client.fd, .events = POLLIN}};

		wait_ms = patience_ms(begun_ms);
		if (wait_ms == 0 || (poll(fds, 5, more ? 0 : wait_ms) == 0 && !more))
			return false;
		drain_wake_pipe();
		monitor_read_log(&run->monitor);
		more = capture_stream_take(&run->capture);
		more = show_events(run) || more;
		if (fds[3].revents == 0)
			continue;
		r = client_answer(&control, 0, ret_status, NULL);
		if (r < 0 && r != -EAGAIN)
			return false;
		if (r == 0)
			client_close(&control);
	}
	return *ret_status != NULL && client_accepted(*ret_status);
}

static void
say_monitor_died(const struct run *run)
{
	int status = run->monitor.status;
	struct tm local = {0};
	char clock[32], how[64] = "";

	(void)localtime_r(&run->last_line.tv_sec, &local);
	(void)strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	if (WIFSIGNALED(status))
		(void)snprintf(how, sizeof(how), " of signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	text_print_block(stderr, run->monitor.log, run->monitor.log_len);
	(void)fprintf(stderr,
		      "pyaudit: the monitor died%s; policy stayed in force; events after %s.%03ld "
		      "are missing\n",
		      how, clock, run->last_line.tv_nsec / 1000000);
}

static double
get_count(const cJSON *status, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(status, name);

	return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void
say_count(const char *separator, double count, const char *one, const char *many,
	  const char *colour)
{
	const struct ctl_palette *palette = ctl_palette(stderr);
	bool loud = colour != NULL && count > 0;

	(void)fprintf(stderr, "%s%s%s%.0f %s%s", separator, loud ? palette->bold : "",
		      loud ? colour : "", count, count == 1 ? one : many,
		      loud ? palette->reset : "");
}

static void
say_summary(const struct run *run, const cJSON *status)
{
	const struct ctl_palette *palette = ctl_palette(stderr);

	say_count("pyaudit: ", get_count(status, "events"), "event", "events", NULL);
	say_count(", ", get_count(status, "alerts"), "alert", "alerts", palette->yellow);
	say_count(", ", get_count(status, "denials"), "denied", "denied", palette->red);
	say_count(", ", get_count(status, "lost"), "lost", "lost", palette->magenta);
	say_count(", ", (double)run->n_processes, "process", "processes", NULL);
	(void)fputc('\n', stderr);
	if (run->n_processes == 0)
		(void)fputs("pyaudit: no Python program was seen that could be watched\n", stderr);
}

/* After the command: everything shown, the files whole, the directory gone. */
static void
finish(struct run *run, bool summary)
{
	CLEANUP(json_freep) cJSON *status = NULL;
	bool stopped;

	caught = 0;
	look_at_monitor(run);
	stopped = !run->monitor_died && stop_monitor(run, &status);
	if (!stopped && !run->monitor_died && caught == 0)
		look_at_monitor(run);
	while (run->monitor_died && show_events(run))
		; /* what it said before it died */
	while (run->monitor_died && capture_stream_take(&run->capture))
		;
	if (run->monitor_died)
		say_monitor_died(run);
	else if (!stopped)
		(void)fprintf(stderr, "pyaudit: %s; events may be missing\n",
			      caught != 0     ? "interrupted"
			      : status != NULL ? "the monitor did not finish its work"
					       : "the monitor does not answer");
	else if (summary)
		say_summary(run, status);
	client_close(&run->events);
	(void)capture_stream_close(&run->capture);
	if (!stopped)
		monitor_kill(&run->monitor);
	monitor_end(&run->monitor);
}

static int
run_monitored(struct run *run)
{
	int r, status;

	(void)clock_gettime(CLOCK_REALTIME, &run->last_line);
	r = choose_writer(run) ? connect_events(run) : CTL_OK;
	if (r == CTL_OK)
		r = start_capture(run);
	if (r == CTL_OK)
		r = start_command(run);
	if (r != CTL_OK) {
		client_close(&run->events);
		(void)capture_stream_close(&run->capture);
		monitor_end(&run->monitor);
		return r;
	}
	status = watch_command(run);
	finish(run, !run->quiet);
	if (WIFSIGNALED(status))
		return CTL_RUN_SIGNAL + WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* Standard output that we found closed is a placeholder of main's, close-on-exec; what we
 * inherited cannot be. */
static bool
stdout_is_closed(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFD);

	return flags < 0 || (flags & FD_CLOEXEC) != 0;
}

static int
run_fini(struct run *run, int code)
{
	if (run->json_out != NULL)
		(void)fclose(run->json_out);
	free(run->ndjson);
	writer_fini(&run->writer);
	free(run->rules);
	free(run->processes);
	return code;
}

int
cmd_run(int argc, char **argv)
{
	struct run run = {
		.events = CLIENT_INIT, .monitor = MONITOR_INIT, .capture = CAPTURE_STREAM_INIT};
	int r = parse_options(&run, argc, argv);

	if (r != CTL_OK || run.command == NULL)
		return run_fini(&run, r);
	if (run.json != NULL && strcmp(run.json, "-") == 0 && stdout_is_closed()) {
		ctl_error("--json -: standard output is closed");
		return run_fini(&run, CTL_RUN_MONITOR);
	}
	r = open_json(&run);
	if (r == CTL_OK && run.capture_file != NULL &&
	    capture_stream_create(&run.capture, run.capture_file) != CTL_OK)
		r = CTL_RUN_MONITOR;
	if (r == CTL_OK && set_up_signals() != 0) {
		ctl_error("cannot handle signals: %s", strerror(errno));
		r = CTL_RUN_MONITOR;
	}
	if (r == CTL_OK)
		r = monitor_start(&run.monitor, &run.options, wake_pipe[0], interrupted);
	if (r == CTL_RUN_SIGNAL)
		r += caught;
	else if (r == CTL_OK)
		r = run_monitored(&run);
	return run_fini(&run, r);
}
