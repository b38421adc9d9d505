/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "cleanup.h"
#include "deliver.h"
#include "frame.h"
#include "report.h"
#include "store.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

#define PACKET_FDS_MAX 4 /* descriptors in one packet; one is wanted */

static bool session_finish(struct session *session);
static bool session_listen(struct session *session);

/* A descriptor of the process that connected: the kernel's own, or by number, which is believed
 * only if a process of that number was there before it said hello. -1: it is gone. */
static int
open_pidfd(const struct session *session, uint64_t hello_ns)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);
	uint64_t started_ns, booted_ns;

	if (getsockopt(session->fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0) {
		(void)fcntl(pidfd, F_SETFD, FD_CLOEXEC);
		return pidfd;
	}
	pidfd = (int)syscall(SYS_pidfd_open, session->pid, 0);
	if (pidfd < 0)
		return -1;
	started_ns = process_started_ns("/proc", session->pid);
	booted_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	if (started_ns == 0 || booted_ns + started_ns > hello_ns + 1000000000u) {
		(void)close(pidfd);
		return -1;
	}
	return pidfd;
}

/* Where descriptors run short, one does for each process: its connection, and when that has ended, a pidfd again.
 * What had to be asked in /proc has been. */
static void
spare_pidfd(struct session *session)
{
	if (session->pidfd < session->server->options->pidfds_below || session->fd < 0)
		return;
	session->spared_ns = process_started_ns("/proc", session->pid);
	if (session->spared_ns == 0)
		return;
	(void)close(session->pidfd);
	session->pidfd = -1;
}

static bool
pidfd_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return pidfd < 0 || (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0);
}

static bool
is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

/* Is the process of this number the session's still, ended or not? */
static bool
is_the_same(const struct session *session)
{
	return session->pidfd >= 0 ||
	       (session->spared_ns != 0 && process_started_ns("/proc", session->pid) == session->spared_ns);
}

static void
set_active(struct session *session, bool active)
{
	if (session->is_active == active)
		return;
	if (active) {
		account_activate(session);
		session->active_ns = clock_ns(CLOCK_MONOTONIC);
		server_poll_soon(session->server);
	} else {
		account_deactivate(session);
	}
}

static void
set_waited(struct session *session, bool waited)
{
	if (session->is_waited == waited)
		return;
	session->is_waited = waited;
	if (waited)
		LIST_INSERT_HEAD(&session->server->waited, session, waited_link);
	else
		LIST_REMOVE(session, waited_link);
}

static void
close_socket(struct session *session)
{
	if (session->socket_event != NULL)
		event_free(session->socket_event);
	session->socket_event = NULL;
	if (session->fd >= 0)
		(void)close(session->fd);
	session->fd = -1;
}

void
session_free(struct session *session)
{
	struct server *server = session->server;

	if (!server->is_ending) /* else the next daemon has it */
		store_drop(session);
	account_leave(session);
	set_waited(session, false);
	close_socket(session);
	if (session->exit_event != NULL)
		event_free(session->exit_event);
	if (session->pidfd >= 0)
		(void)close(session->pidfd);
	drain_close(&session->drain);
	process_unref(session->process);
	if (server->sweep_at == session)
		server->sweep_at = LIST_NEXT(session, link);
	LIST_REMOVE(session, link);
	peers_remove(session);
	server->n_sessions--;
	if (session->state == SESSION_READY)
		server->n_attached--;
	free(session);
}

/* Sends a frame of ours, with a descriptor where @fd is not -1. */
static int
send_frame(const struct session *session, uint16_t type, const void *payload, size_t length, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct pyaudit_frame head;
	struct iovec iov[2] = {{.iov_base = &head, .iov_len = sizeof(head)}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
	union {
		const void *in;
		void *out;
	} bytes = {.in = payload};

	frame_head(&head, type, length);
	iov[1].iov_base = bytes.out;
	iov[1].iov_len = length;
	if (fd >= 0) {
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	return sendmsg(session->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Hands the newest policy over, if the previous offer was taken. */
static void
offer_policy(struct session *session)
{
	const struct policy *policy = &session->server->policy;
	struct pyaudit_ring *ring = session->drain.ring;
	struct pyaudit_offer offer = {
		.generation = pyaudit_le64_of(policy->generation),
		.size = pyaudit_le64_of(policy->size),
	};
	uint64_t used = session->generation, word;

	if (used == policy->generation && session->offered == used)
		return;
	if (ring != NULL)
		used = atomic_load_explicit(&ring->generation_used, memory_order_acquire);
	session->generation = used;
	if (session->offered == policy->generation || session->fd < 0 ||
	    session->state != SESSION_READY)
		return;
	if (session->offered != 0 && session->offered != used)
		return;
	if (used != policy->generation &&
	    send_frame(session, PYAUDIT_FRAME_POLICY, &offer, sizeof(offer), policy->memfd) < 0)
		return; /* its buffer is full: with the next sweep */
	session->offered = policy->generation;
	if (ring == NULL)
		return;
	/* The agent looks when the word changes; on a second connection it may stand there already. */
	word = policy->generation;
	if (atomic_load(&ring->generation) == word && used != word)
		word |= UINT64_C(1) << 62;
	atomic_store_explicit(&ring->generation, word, memory_order_release);
}

/* Turned away: told why, then closed. */
static void
refuse(struct session *session, const char *why)
{
	session->server->stats.n_refused++;
	log_warning(session->server->log, "agent of process %d (uid %u) refused: %s",
		    (int)session->pid, (unsigned)session->uid, why);
	(void)send_frame(session, PYAUDIT_FRAME_REFUSED, why, strlen(why), -1);
	session_free(session);
}

static void
report_state(struct session *session, const char *event)
{
	struct report report = {
		.kind = REPORT_PROCESS,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.process = session->process,
		.event = event,
		.generation = session->generation,
	};

	server_report(session->server, &report, NULL, 0);
}

/* @total: of this cause and lane since the ring was made, by which a line that a killed daemon has written
 * already is known; 0: not counted so. */
static void
report_loss(struct session *session, enum report_cause cause, uint64_t lost, uint64_t total,
	    const char *lane)
{
	struct report report = {
		.kind = REPORT_LOSS,
		.time_ns = clock_ns(CLOCK_REALTIME),
		.process = session->process,
		.cause = cause,
		.lost = lost,
		.total = total,
		.lane = lane,
	};

	if (lost == 0)
		return;
	session->n_lost += lost;
	session->lost_by[cause] += lost;
	server_report(session->server, &report, NULL, 0);
}

/* What the sinks have to come to for what was given to them since @before. */
static struct held_marks
marks_since(struct server *server, const struct held_marks *before)
{
	struct held_marks marks = {0};

	if (server->ndjson != NULL && server->n_given.ndjson != before->ndjson)
		marks.ndjson = sink_mark(server->ndjson);
	if (server->journal != NULL && server->n_given.journal != before->journal)
		marks.journal = sink_mark(server->journal);
	return marks;
}

static enum report_cause
cause_of_full(const struct session *session, enum pyaudit_lane lane)
{
	if (session->was_unread)
		return REPORT_CAUSE_DAEMON_DOWN;
	if (session->was_limited)
		return REPORT_CAUSE_USER_LIMIT;
	return lane == PYAUDIT_LANE_URGENT ? REPORT_CAUSE_URGENT_FULL : REPORT_CAUSE_RING_FULL;
}

/* Acts that went on before their alerts were written, though a rule's `ack` asked them to wait. */
static void
tell_late(struct session *session)
{
	struct pyaudit_ring *ring = session->drain.ring;
	uint32_t n_late, n_new;

	if (ring == NULL)
		return;
	n_late = atomic_load_explicit(&ring->n_late, memory_order_relaxed);
	n_new = n_late - atomic_load_explicit(&ring->late_told, memory_order_relaxed);
	session->n_late += n_new;
	if (n_new == 0)
		return;
	atomic_store_explicit(&ring->late_told, n_late, memory_order_relaxed);
	server_status(session->server, "daemon.ack-late",
		      "%u acts of process %d (%s) went on before their alerts were written", (unsigned)n_new,
		      (int)session->pid, session->process->script != NULL ? session->process->script : "?");
}

static void
tell_losses(struct session *session, uint64_t now_ns)
{
	static const char *const names[PYAUDIT_N_LANES] = {"ordinary", "urgent"};
	struct held_marks before = session->server->n_given;
	struct held_entry told = {0};
	uint64_t n_full[PYAUDIT_N_LANES], n_new = 0;

	session->told_ns = now_ns;
	tell_late(session);
	for (unsigned i = 0; session->drain.ring != NULL && i < PYAUDIT_N_LANES; i++) {
		struct drain_losses total, losses = drain_take_losses(
			&session->drain, i, session->is_dead && session->is_read, &total);

		report_loss(session, cause_of_full(session, i), losses.n_full, total.n_full,
			    names[i]);
		report_loss(session, REPORT_CAUSE_TORN, losses.n_torn, total.n_torn, names[i]);
		report_loss(session, REPORT_CAUSE_CORRUPT, losses.n_corrupt, total.n_corrupt,
			    names[i]);
		report_loss(session, REPORT_CAUSE_DAEMON_KILLED, losses.n_unwritten,
			    total.n_unwritten, names[i]);
		n_full[i] = total.n_full;
		n_new += losses.n_full;
	}
	if (n_new > 0) {
		told.mark.place = n_full[PYAUDIT_LANE_ORDINARY];
		told.mark.n_torn = n_full[PYAUDIT_LANE_URGENT];
		told.until = marks_since(session->server, &before);
		held_add(&session->held_losses, &told);
	}
	session->was_unread = session->was_limited = false;
	report_loss(session, REPORT_CAUSE_CORRUPT, session->n_undecoded, 0, NULL);
	session->n_undecoded = 0;
	report_loss(session, REPORT_CAUSE_SOCKET, session->socket_lost - session->socket_told,
		    session->socket_lost, NULL);
	session->socket_told = session->socket_lost;
}

static void
release_lane(struct session *session, enum pyaudit_lane lane, uint64_t now_ns)
{
	struct server *server = session->server;
	struct held *held = &session->held[lane];
	struct drain_mark mark;
	bool written;

	while (held_take(held, server->ndjson, server->journal, now_ns, &mark, &written)) {
		if (written)
			drain_release(&session->drain, lane, &mark);
		else
			drain_release_unwritten(&session->drain, lane, &mark);
	}
	if (held_take_late(held, server->ndjson, server->journal, &mark))
		drain_written(&session->drain, lane, &mark);
}

/* Gives back the room of what the sinks have written meanwhile. */
static void
release_written(struct session *session, uint64_t now_ns)
{
	struct server *server = session->server;
	struct drain_mark mark;
	bool written;

	if (session->drain.ring == NULL)
		return;
	for (unsigned i = 0; i < PYAUDIT_N_LANES; i++)
		release_lane(session, i, now_ns);
	/* Losses that are told are found again by the next daemon until they are written, however long
	 * that takes: a line more of one that has its total does no harm. */
	while (held_take(&session->held_losses, server->ndjson, server->journal, 0, &mark, &written) ||
	       held_take_late(&session->held_losses, server->ndjson, server->journal, &mark)) {
		drain_told(&session->drain, PYAUDIT_LANE_ORDINARY, mark.place);
		drain_told(&session->drain, PYAUDIT_LANE_URGENT, mark.n_torn);
	}
}

static void
take_record(void *data, enum pyaudit_lane lane, uint64_t number, const uint8_t *record, size_t size)
{
	struct session *session = data;
	struct server *server = session->server;
	struct pyaudit_decoded *decoded = &server->decoded;
	struct report report;

	if (pyaudit_record_decode(decoded, record, size) < 0) {
		session->n_undecoded++;
		return;
	}
	decoded->event.scratch = server->scratch;
	decoded->event.scratch_size = sizeof(server->scratch);
	if (session->inner_pid != (uint32_t)session->pid)
		decoded->flags &= (uint16_t)~PYAUDIT_REC_FORKED; /* its numbers are not ours */
	report = (struct report){
		.kind = report_kind_of(decoded),
		.time_ns = decoded->time_ns,
		.process = session->process,
		.decoded = decoded,
		.rules = policy_attribute(&server->policy, decoded),
		.has_number = lane < PYAUDIT_N_LANES,
		.number = number,
	};
	session->n_events++;
	session->n_denials += decoded->action >= PYAUDIT_ACTION_BLOCK;
	deliver_record(server, &report,
		       &(struct memory_subject){.process = session->process->start_ns ^
							   (uint64_t)session->pid << 32,
						.tree = session->process->tree},
		       record, size);
}

static const char *const hook_names[] = {
	[SESSION_HOOK_UNKNOWN] = "unknown", [SESSION_HOOK_HIDDEN] = "hidden",
	[SESSION_HOOK_LISTED] = "listed",   [SESSION_HOOK_REMOVED] = "removed",
	[SESSION_HOOK_REFUSED] = "refused",
};

/* An event of the daemon's own about the process, told as an alert whatever the rules say. */
static void
raise_finding(struct session *session, enum pyaudit_event_id id)
{
	struct server *server = session->server;
	struct pyaudit_event event = {
		.id = (uint16_t)id,
		.layer = PYAUDIT_LAYER_DAEMON,
		.name = pyaudit_events[id].name,
		.name_len = (uint32_t)strlen(pyaudit_events[id].name),
		.scratch = server->scratch,
		.scratch_size = sizeof(server->scratch),
	};
	struct pyaudit_verdict verdict;
	uint8_t record[PYAUDIT_RECORD_MAX];
	size_t size;

	policy_judge(&server->policy, &session->process->facts, &event, &verdict);
	if (verdict.action < PYAUDIT_ACTION_ALERT)
		verdict.action = PYAUDIT_ACTION_ALERT;
	size = pyaudit_record_encode(record, &event, &verdict, server->policy.generation,
				     clock_ns(CLOCK_REALTIME), session->inner_pid, 0);
	take_record(session, PYAUDIT_N_LANES, 0, record, size);
}

enum mapping {
	MAPPING_UNKNOWN, /* it may not be looked at, or has no memory: it ends, or becomes another program */
	MAPPING_THERE,
	MAPPING_GONE,
};

/* Does the process still have its ring mapped? After an exec it has not. */
static enum mapping
look_for_ring(const struct session *session)
{
	CLEANUP(fclosep) FILE *file = NULL;
	enum mapping mapping = MAPPING_UNKNOWN;
	char path[64], line[512];

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)session->pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		unsigned long long inode = 0;

		if (sscanf(line, "%*s %*s %*s %*s %llu", &inode) == 1 &&
		    inode == (unsigned long long)session->ring_ino)
			return MAPPING_THERE;
		mapping = MAPPING_GONE;
	}
	return mapping;
}

/*
 * Looks into the process whether its interpreter's list of hooks still leads to the agent's. Where
 * to look is the agent's word, in memory that the program can write to: what stands there is
 * compared, and believed for no more than that.
 */
static enum session_hook
look_at_hook(const struct session *session)
{
	struct pyaudit_ring *ring = session->drain.ring;
	uint64_t wanted[2] = {atomic_load(&ring->hook_entry), atomic_load(&ring->hook_function)};
	uint64_t head = atomic_load(&ring->hook_head), found[2] = {0};
	struct iovec here[2] = {{&found[0], 8}, {&found[1], 8}};
	struct iovec there[2] = {{.iov_len = 8}, {.iov_len = 8}};
	uint64_t at[2] = {head, wanted[0] + sizeof(void *)};

	switch (atomic_load(&ring->hook_state)) {
	case PYAUDIT_HOOK_REFUSED:
		return SESSION_HOOK_REFUSED;
	case PYAUDIT_HOOK_LISTED:
		break;
	default:
		return SESSION_HOOK_UNKNOWN;
	}
	if (head == 0 || sizeof(void *) != 8)
		return SESSION_HOOK_UNKNOWN;
	memcpy(&there[0].iov_base, &at[0], sizeof(void *));
	memcpy(&there[1].iov_base, &at[1], sizeof(void *));
	if (process_vm_readv(session->pid, here, 1, &there[0], 1, 0) != 8)
		return errno == EPERM ? SESSION_HOOK_HIDDEN : SESSION_HOOK_UNKNOWN;
	if (found[0] == wanted[0] &&
	    (process_vm_readv(session->pid, here + 1, 1, &there[1], 1, 0) != 8 ||
	     found[1] == wanted[1]))
		return SESSION_HOOK_LISTED;
	/* It may have ended its interpreter, or become another program, between the looks. */
	if (atomic_load(&ring->hook_state) != PYAUDIT_HOOK_LISTED ||
	    atomic_load(&ring->hook_entry) != wanted[0] ||
	    look_for_ring(session) != MAPPING_THERE)
		return SESSION_HOOK_UNKNOWN;
	return SESSION_HOOK_REMOVED;
}

static void
verify_hook(struct session *session, uint64_t now_ns)
{
	uint64_t verify_ns = session->server->conf->verify_ms * 1000000ull;
	enum session_hook found;

	if (session->drain.ring == NULL || session->state != SESSION_READY || session->is_dead ||
	    verify_ns == 0 || now_ns - session->verified_ns < verify_ns)
		return;
	session->verified_ns = now_ns;
	found = look_at_hook(session);
	/* Its number may be another's by now; to ask for that is dear, and of use only here. */
	if (found >= SESSION_HOOK_REMOVED && !is_the_same(session))
		return;
	session->hook = found;
	if (session->hook_told || session->hook < SESSION_HOOK_REMOVED)
		return;
	session->hook_told = true;
	raise_finding(session, session->hook == SESSION_HOOK_REMOVED ? PYAUDIT_EV_HOOK_REMOVED
								     : PYAUDIT_EV_HOOK_REFUSED);
}

/* The number that a task has in its own pid namespace: NSpid's last; 0 where it is gone. */
static uint32_t
inner_tid(pid_t pid, const char *task)
{
	CLEANUP(fclosep) FILE *file = NULL;
	char path[320], line[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, task);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *last = strrchr(line, '\t');

		if (strncmp(line, "NSpid:", 6) == 0 && last != NULL)
			return (uint32_t)strtoul(last, NULL, 10);
	}
	return 0;
}

static bool
inner_thread_lives(pid_t pid, uint32_t tid)
{
	const struct dirent *entry;
	bool found = false;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return true; /* not to be told: the end of its process is seen by the pidfd */
	while (!found && (entry = readdir(dir)) != NULL)
		found = inner_tid(pid, entry->d_name) == tid;
	(void)closedir(dir);
	return found;
}

static bool
thread_lives(void *data, uint32_t tid, uint64_t since_ns)
{
	const struct session *session = data;
	uint64_t started_ns, since_boot_ns;

	if (session->inner_pid != (uint32_t)session->pid)
		return inner_thread_lives(session->pid, tid);
	if (tid == 0 || is_gone((pid_t)tid))
		return false;
	/* The number may have gone to another thread since. */
	started_ns = process_started_ns("/proc", (pid_t)tid);
	since_boot_ns = clock_ns(CLOCK_BOOTTIME) - (clock_ns(CLOCK_MONOTONIC) - since_ns);
	return started_ns <= since_boot_ns;
}

static struct drain_calls
calls_of(struct session *session)
{
	return (struct drain_calls){
		.record = take_record,
		.alive = thread_lives,
		.data = session,
		.hold = session->server->ndjson != NULL || session->server->journal != NULL,
	};
}

/* How many of @n_records the event file's queue has room for: what it would drop stays in the ring. An
 * ending daemon waits. */
static unsigned
n_that_fit(const struct session *session, unsigned n_records)
{
	const struct server *server = session->server;
	size_t n;

	if (server->ndjson == NULL || server->is_ending)
		return n_records;
	n = sink_room(server->ndjson) / SESSION_LINE;
	return n < n_records ? (unsigned)n : n_records;
}

/* Reads from a lane, and holds what is to be written. DRAIN_FULL: a sink is too far behind, or the user over a limit. */
static enum drain_outcome
read_lane(struct session *session, enum pyaudit_lane lane, unsigned n_records, uint64_t now_ns)
{
	struct drain_calls calls = calls_of(session);
	struct drain *drain = &session->drain;
	struct held_marks before = session->server->n_given;
	struct held_entry entry = {0};
	uint64_t place = drain->lane[lane].read, n_torn = drain->lane[lane].n_torn;
	unsigned n_fit = lane == PYAUDIT_LANE_ORDINARY ? n_that_fit(session, n_records) : n_records;
	unsigned n = account_allows(session, lane, n_fit, now_ns);
	enum drain_outcome outcome =
		n > 0 ? drain_run(drain, lane, n, session->is_dead, now_ns, &calls) : DRAIN_BUDGET;

	account_takes(session, lane, (unsigned)pyaudit_place_index(drain->lane[lane].read - place));
	if (outcome == DRAIN_BUDGET && n < n_fit)
		session->was_limited = session->account->is_limited = true;
	if (outcome == DRAIN_BUDGET && n < n_records)
		outcome = DRAIN_FULL;
	if (!calls.hold || drain->lane[lane].read == place)
		return outcome;
	/* Room that a torn record took is given back when its loss is told. */
	if (drain->lane[lane].n_torn != n_torn)
		tell_losses(session, now_ns);
	entry.mark = drain_mark(drain, lane);
	entry.until = marks_since(session->server, &before);
	held_add(&session->held[lane], &entry);
	if (lane == PYAUDIT_LANE_URGENT && policy_waits(&session->server->policy))
		set_waited(session, true);
	return outcome;
}

unsigned
session_turn(struct session *session, uint64_t now_ns)
{
	uint64_t n_before = session->n_events + session->n_undecoded;
	struct drain *drain = &session->drain;
	enum drain_outcome urgent, ordinary;
	uint64_t idle_ns = (uint64_t)session->server->conf->idle_ms * 1000000u;
	unsigned drain_ms = session->server->conf->drain_ms;
	uint64_t n_taken;
	bool stuck;

	if (session->is_dead) {
		(void)session_finish(session);
		return drain_ms;
	}
	/* Where turns are rare, several without anything before it is left to wake us. */
	if (idle_ns < SESSION_IDLE_TURNS * session->account->every_ns)
		idle_ns = SESSION_IDLE_TURNS * session->account->every_ns;
	if (session->fd < 0) /* nobody can wake us */
		idle_ns = (uint64_t)SESSION_DEAF_MS * 1000000u;
	urgent = read_lane(session, PYAUDIT_LANE_URGENT, SESSION_BUDGET, now_ns);
	ordinary = read_lane(session, PYAUDIT_LANE_ORDINARY, SESSION_BUDGET, now_ns);
	stuck = urgent == DRAIN_STUCK || ordinary == DRAIN_STUCK;
	n_taken = session->n_events + session->n_undecoded - n_before;
	if (n_taken > 0 || stuck)
		session->active_ns = now_ns;
	atomic_store_explicit(&drain->ring->beat_ns, now_ns, memory_order_relaxed);
	offer_policy(session);
	if (now_ns - session->told_ns > (uint64_t)SESSION_LOSS_MS * 1000000u)
		tell_losses(session, now_ns);
	release_written(session, now_ns);
	if (now_ns - session->active_ns > idle_ns &&
	    held_is_empty(&session->held[PYAUDIT_LANE_ORDINARY]) &&
	    held_is_empty(&session->held[PYAUDIT_LANE_URGENT]) && drain_sleep(drain))
		set_active(session, false);
	/* A lane holds a few thousand records, which a busy program fills in a millisecond or two. */
	if (urgent == DRAIN_BUDGET || ordinary == DRAIN_BUDGET)
		return 0;
	return n_taken >= SESSION_BUSY ? 1 : drain_ms;
}

void
session_look(struct session *session)
{
	if (session->drain.ring != NULL && !session->is_active && drain_pending(&session->drain))
		set_active(session, true);
}

void
sessions_written(struct server *server)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	struct session *session, *next;

	for (session = LIST_FIRST(&server->waited); session != NULL; session = next) {
		next = LIST_NEXT(session, waited_link);
		release_written(session, now_ns);
		if (held_is_empty(&session->held[PYAUDIT_LANE_URGENT]))
			set_waited(session, false);
	}
}

void
session_sweep(struct session *session, uint64_t now_ns)
{
	if (session->state == SESSION_NEW) {
		if (now_ns - session->accepted_ns > (uint64_t)SESSION_HELLO_MS * 1000000u)
			refuse(session, "no hello in time");
		return;
	}
	/* A child may have its connection still. */
	if (session->spared_ns != 0 && session->pidfd < 0 && is_gone(session->pid)) {
		(void)session_finish(session);
		return;
	}
	session_look(session);
	verify_hook(session, now_ns);
	tell_losses(session, now_ns);
	release_written(session, now_ns);
	offer_policy(session);
}

void
session_leave(struct session *session)
{
	if (session->drain.ring == NULL)
		return;
	release_written(session, clock_ns(CLOCK_MONOTONIC));
	atomic_store(&session->drain.ring->asleep, 1);
}

/* True: all that was there. */
static bool
drain_ring(struct session *session)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	bool all = true;

	session->is_read = false;
	for (unsigned i = PYAUDIT_N_LANES; session->drain.ring != NULL && i-- > 0;) {
		/* What can be there now: a claim each. */
		unsigned n_turns = session->drain.lane[i].n_claims / SESSION_BUDGET + 1;
		enum drain_outcome outcome = DRAIN_BUDGET;

		while (n_turns-- > 0 && outcome == DRAIN_BUDGET)
			outcome = read_lane(session, i, SESSION_BUDGET, now_ns);
		all = all && outcome != DRAIN_FULL;
	}
	session->is_read = all;
	tell_losses(session, now_ns);
	return all;
}

bool
session_has_left(struct session *session, bool closely)
{
	const struct pyaudit_ring *ring = session->drain.ring;

	/* Its end of the connection is close-on-exec; but a child may hold it, or the program may have seen to
	 * it that it stays. */
	if (session->fd >= 0 && (ring == NULL || !closely))
		return false;
	if (session->fd >= 0) {
		enum session_hook hook = look_at_hook(session);

		if (hook == SESSION_HOOK_LISTED || hook == SESSION_HOOK_HIDDEN)
			return false;
	}
	if (ring != NULL && look_for_ring(session) != MAPPING_GONE)
		return false;
	/* A sink has no room for what it left: it is shown until it has. */
	if (!drain_ring(session))
		return true;
	report_state(session, "process.exit");
	session->state = SESSION_OLD;
	session->server->n_attached--;
	return true;
}

/* The ring of the same process that came on an earlier connection, or NULL. */
static struct session *
find_ring(struct session *session, const struct stat *st)
{
	struct session *other;

	PEERS_FOREACH(other, &session->server->peers, session->pid)
	if (other != session && other->drain.ring != NULL && other->ring_dev == st->st_dev &&
	    other->ring_ino == st->st_ino)
		return other;
	return NULL;
}

/* Makes room for another ring of the same process: those before it stay, as OLD. */
static bool
admit_ring(struct session *session)
{
	struct session *other;
	unsigned n = 0;

	PEERS_FOREACH(other, &session->server->peers, session->pid)
	if (other != session && other->state != SESSION_NEW)
		n++;
	return n < SESSION_RINGS_MAX;
}

static void
replace_rings(struct session *session, const struct hello *hello)
{
	struct server *server = session->server;
	struct session *other;

	PEERS_FOREACH(other, &server->peers, session->pid)
	{
		if (other == session || other->state != SESSION_READY || other->fd >= 0)
			continue;
		/* The program closed the agent's descriptors; it moved what it had to a new ring. */
		if (hello->reason == PYAUDIT_REASON_AGAIN && other->drain.ring != NULL &&
		    session->drain.ring != NULL) {
			drain_adopt(&session->drain, &other->drain);
			memcpy(session->held, other->held, sizeof(session->held));
			session->held_losses = other->held_losses;
			session->was_unread = false;
			session_leave(other);
			set_active(other, false);
			drain_close(&other->drain);
			store_drop(other);
			session->n_events = other->n_events;
			session->n_denials = other->n_denials;
			session->n_lost = other->n_lost;
			memcpy(session->lost_by, other->lost_by, sizeof(session->lost_by));
		}
		other->state = SESSION_OLD;
		server->n_attached--;
	}
}

static void
on_exit_event(evutil_socket_t fd, short what, void *data)
{
	(void)fd;
	(void)what;
	(void)session_finish(data);
}

static void
watch_for_end(struct session *session)
{
	if (session->pidfd < 0)
		return;
	session->exit_event =
		event_new(session->server->base, session->pidfd, EV_READ, on_exit_event, session);
	if (session->exit_event != NULL)
		(void)event_add(session->exit_event, NULL);
}

/* The connection of a process whose pidfd was spared has ended, and its descriptor is free. */
static void
regain_pidfd(struct session *session)
{
	int pidfd;

	if (session->spared_ns == 0 || session->pidfd >= 0)
		return;
	pidfd = (int)syscall(SYS_pidfd_open, session->pid, 0);
	if (pidfd >= 0 && !is_the_same(session)) {
		(void)close(pidfd); /* another's, by now */
		pidfd = -1;
	}
	session->pidfd = pidfd;
	watch_for_end(session);
}

/* Watches for the end of the process, and reads the ring from now on. */
static void
go_on(struct session *session)
{
	watch_for_end(session);
	if (session->drain.ring != NULL) {
		atomic_store_explicit(&session->drain.ring->beat_ns, clock_ns(CLOCK_MONOTONIC),
				      memory_order_relaxed);
		atomic_store(&session->drain.ring->asleep, 0);
		set_active(session, true);
	}
}

/* The tree that the process is of: that of the nearest ancestor that is watched, else one of its own. */
static uint64_t
find_tree(const struct session *session)
{
	const struct session *other;
	pid_t pid = session->pid; /* it was another program, or another ring, before */

	for (unsigned n = 0; (n == 0 || pid > 1) && n < SESSION_ANCESTORS_MAX; n++) {
		PEERS_FOREACH(other, &session->server->peers, pid)
		if (other != session && other->state != SESSION_NEW)
			return other->process->tree;
		pid = n == 0 ? session->process->ppid : process_parent("/proc", pid);
	}
	return session->process->start_ns ^ (uint64_t)session->pid << 32;
}

/* The session is ready. NULL, or why it cannot be. */
static const char *
greet(struct session *session)
{
	const char *why = account_greet(session, session->drain.map_size + sizeof(*session) +
							 process_memory(session->process));

	session->state = SESSION_READY;
	session->server->n_attached++;
	return why;
}

/* Attaches what the hello brought. False: the session is gone. */
static bool
take_hello(struct session *session, const struct frame *frame, int ring_fd)
{
	struct server *server = session->server;
	const char *why = "the hello is malformed";
	struct session *other;
	struct hello hello;
	struct stat st;
	bool again;

	if (session->state != SESSION_NEW || hello_parse(&hello, frame->payload, frame->length) < 0) {
		refuse(session, why);
		return false;
	}
	if (ring_fd >= 0 && fstat(ring_fd, &st) == 0) {
		other = find_ring(session, &st);
		if (other != NULL) { /* the same ring on a new connection */
			close_socket(other);
			other->fd = TAKE_FD(session->fd);
			event_free(session->socket_event);
			session->socket_event = NULL;
			session_free(session);
			other->offered = 0;
			pause_apply(server, other);
			if (other->state == SESSION_OLD) {
				other->state = SESSION_READY;
				server->n_attached++;
			}
			session_listen(other);
			offer_policy(other);
			atomic_store(&other->drain.ring->asleep, 0);
			set_active(other, true);
			store_put(other, ring_fd);
			return false;
		}
		if (!admit_ring(session)) {
			refuse(session, "this process has too many rings");
			return false;
		}
		if (drain_open(&session->drain, ring_fd, &why) < 0) {
			refuse(session, why);
			return false;
		}
		session->ring_dev = st.st_dev;
		session->ring_ino = st.st_ino;
	}

	session->inner_pid = hello.pid;
	memcpy(session->agent, hello.agent, sizeof(session->agent));
	session->observes = (frame->flags & PYAUDIT_HELLO_OBSERVES) != 0;
	session->generation = hello.generation;
	session->pidfd = open_pidfd(session, hello.start_ns);
	session->process = process_new(&hello, session->pid, session->uid, session->gid,
				       session->pidfd >= 0 ? "/proc" : NULL, &server->users);
	spare_pidfd(session);
	if (session->process == NULL) {
		refuse(session, "out of memory");
		return false;
	}
	process_keep_hello(session->process, ++server->n_processes, frame->payload, frame->length);
	session->was_unread = hello.reason == PYAUDIT_REASON_AGAIN;
	session->process->tree = find_tree(session);
	why = greet(session);
	if (why != NULL) {
		refuse(session, why);
		return false;
	}
	replace_rings(session, &hello);
	pause_apply(server, session);
	offer_policy(session);
	again = hello.reason == PYAUDIT_REASON_AGAIN;
	report_state(session, again ? "process.again" : "process.start");
	if (session->was_unread)
		tell_losses(session, clock_ns(CLOCK_MONOTONIC));

	go_on(session);
	store_put(session, ring_fd);
	return true;
}

/* It waits for what it just put in. */
static void
hurry(struct session *session)
{
	if (!policy_waits(&session->server->policy))
		return;
	account_hurry(session);
	server_poll_soon(session->server);
}

/* False: the session is gone. */
static bool
take_frame(struct session *session, const struct frame *frame, int fd)
{
	struct server *server = session->server;
	struct pyaudit_lost lost;
	uint64_t total;

	if (frame->type == PYAUDIT_FRAME_HELLO)
		return take_hello(session, frame, fd);
	if (session->state == SESSION_NEW && frame->type == PYAUDIT_FRAME_WAKE) {
		session_free(session);
		server_knocked(server);
		return false;
	}
	if (session->state == SESSION_NEW) {
		refuse(session, "the first packet is no hello");
		return false;
	}
	switch (frame->type) {
	case PYAUDIT_FRAME_WAKE:
		if (session->drain.ring != NULL) {
			atomic_store(&session->drain.ring->asleep, 0);
			set_active(session, true);
			hurry(session);
		}
		break;
	case PYAUDIT_FRAME_RECORD:
		take_record(session, PYAUDIT_N_LANES, 0, frame->payload, frame->length);
		break;
	case PYAUDIT_FRAME_LOST:
		if (frame->length < sizeof(lost))
			break;
		memcpy(&lost, frame->payload, sizeof(lost));
		total = pyaudit_get64(lost.total);
		if (total > session->socket_lost)
			session->socket_lost = total;
		break;
	default: /* a newer agent's */
		break;
	}
	return true;
}

/* Takes one of the descriptors that came with a packet and closes the others. */
static int
take_fds(struct msghdr *message)
{
	int taken = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (taken < 0)
				taken = fd;
			else
				(void)close(fd);
		}
	}
	return taken;
}

enum packet_outcome {
	PACKET_TAKEN,
	PACKET_WAKE, /* taken; mostly there is nothing behind it */
	PACKET_NONE, /* nothing there now */
	PACKET_END,  /* the connection has ended */
	PACKET_GONE, /* the session has */
};

static enum packet_outcome
read_packet(struct session *session)
{
	uint8_t packet[FRAME_PACKET_MAX + 1];
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(PACKET_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	CLEANUP(closep) int fd = -1;
	struct frame frame;
	ssize_t n;
	int r;

	n = recvmsg(session->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? PACKET_NONE : PACKET_END;
	if (n == 0)
		return PACKET_END;
	fd = take_fds(&message);
	/* Without its ring nothing of the program would be seen; turned away, it tries again. */
	if (session->state == SESSION_NEW && (message.msg_flags & MSG_CTRUNC) != 0) {
		refuse(session, "no descriptor is left for its ring");
		return PACKET_GONE;
	}
	r = (message.msg_flags & MSG_TRUNC) != 0 ? -EBADMSG
						  : frame_parse(&frame, packet, (size_t)n);
	if (r < 0) {
		if (session->state == SESSION_NEW) {
			refuse(session, r == -EPROTO ? "another version of the protocol"
						     : "not a frame");
			return PACKET_GONE;
		}
		session->n_undecoded++;
		return PACKET_TAKEN;
	}
	if (!take_frame(session, &frame, fd))
		return PACKET_GONE;
	return frame.type == PYAUDIT_FRAME_WAKE ? PACKET_WAKE : PACKET_TAKEN;
}

/* Reads up to @n packets. False: the session is gone. */
static bool
read_socket(struct session *session, unsigned n)
{
	while (session->fd >= 0 && n-- > 0) {
		switch (read_packet(session)) {
		case PACKET_TAKEN:
			break;
		case PACKET_WAKE:
		case PACKET_NONE:
			return true;
		case PACKET_GONE:
			return false;
		case PACKET_END:
			if (session->state == SESSION_NEW) {
				session_free(session);
				return false;
			}
			close_socket(session);
			regain_pidfd(session);
			if (pidfd_ended(session->pidfd))
				return !session_finish(session);
			/* It closed its descriptors, or became another program: the ring is
			 * read on, often enough, until the process ends. */
			if (session->drain.ring != NULL)
				set_active(session, true);
			return true;
		}
	}
	return true;
}

static void
on_socket(evutil_socket_t fd, short what, void *data)
{
	struct session *session = data;
	struct server *server = session->server;

	(void)fd;
	(void)what;
	(void)read_socket(session, SESSION_PACKETS);
	server_check_private(server);
}

static bool
session_listen(struct session *session)
{
	session->socket_event = event_new(session->server->base, session->fd, EV_READ | EV_PERSIST,
					  on_socket, session);
	return session->socket_event != NULL && event_add(session->socket_event, NULL) == 0;
}

/* Something of it was read that the sinks have not written, and the next daemon would find it where the
 * service manager holds the ring. */
static bool
waits_for_sinks(struct session *session)
{
	if (session->stored == 0 || session->server->is_ending)
		return false;
	release_written(session, clock_ns(CLOCK_MONOTONIC));
	return !held_is_empty(&session->held[PYAUDIT_LANE_ORDINARY]) ||
	       !held_is_empty(&session->held[PYAUDIT_LANE_URGENT]) ||
	       !held_is_empty(&session->held_losses);
}

/* The process has ended: what it left is read and written, then it is forgotten. False: a sink is not so far
 * yet; the session goes on until it is. */
static bool
session_finish(struct session *session)
{
	struct server *server = session->server;
	bool all;

	/* Where there was never a pidfd the end of its connection is what we go by; it may live on. */
	session->is_dead = session->pidfd >= 0 || session->spared_ns != 0 || is_gone(session->pid);
	while (session->fd >= 0 && session->state != SESSION_NEW) {
		enum packet_outcome outcome = read_packet(session);

		if (outcome == PACKET_GONE)
			return true;
		if (outcome != PACKET_TAKEN && outcome != PACKET_WAKE)
			break;
	}
	all = drain_ring(session);
	if (session->is_dead && (!all || waits_for_sinks(session))) {
		close_socket(session);
		set_active(session, true);
		return false;
	}
	if (session->process != NULL)
		server_flush_limits(server, session->process);
	if (session->state == SESSION_READY)
		report_state(session, "process.exit");
	store_drop(session);
	session_free(session);
	server_check_private(server);
	return true;
}

bool
session_drain(struct session *session)
{
	if (!read_socket(session, UINT32_MAX) || session->state == SESSION_NEW)
		return true;
	if (pidfd_ended(session->pidfd) && session->fd < 0)
		return session_finish(session);
	return drain_ring(session);
}

void
session_accept(struct server *server, int fd)
{
	struct session *session = calloc(1, sizeof(*session));
	struct ucred cred;
	socklen_t len = sizeof(cred);
	const char *why;

	if (session == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		free(session);
		(void)close(fd);
		return;
	}
	session->server = server;
	session->fd = fd;
	session->pidfd = -1;
	session->pid = cred.pid;
	session->uid = cred.uid;
	session->gid = cred.gid;
	session->since_ns = clock_ns(CLOCK_REALTIME);
	session->accepted_ns = clock_ns(CLOCK_MONOTONIC);
	LIST_INSERT_HEAD(&server->sessions, session, link);
	peers_add(&server->peers, session);
	server->n_sessions++;
	why = account_enter(server, session);
	if (why != NULL) {
		refuse(session, why);
		return;
	}
	if (!session_listen(session)) {
		refuse(session, "out of memory");
		return;
	}
	/* Usually the hello is there already. */
	(void)read_socket(session, SESSION_PACKETS);
}

/* Fills in what the daemon before knew. NULL, or what is wrong. */
static const char *
restore_facts(struct session *session, const struct session_kept *kept)
{
	struct server *server = session->server;
	uint8_t bytes[STORE_HELLO_MAX];
	struct store_state state;
	struct hello hello;
	const char *why = NULL;
	struct stat st;

	if (kept->state < 0 || store_read(kept->state, &state, bytes) < 0 ||
	    hello_parse(&hello, bytes, state.length) < 0)
		return "what was known of it cannot be read";
	session->pid = (pid_t)state.pid;
	session->uid = state.uid;
	session->gid = state.gid;
	session->since_ns = state.since_ns;
	session->inner_pid = hello.pid;
	session->generation = hello.generation;
	memcpy(session->agent, hello.agent, sizeof(session->agent));
	session->observes = (state.flags & PYAUDIT_HELLO_OBSERVES) != 0;
	if (kept->ring >= 0 && drain_open(&session->drain, kept->ring, &why) < 0)
		return why;
	if (kept->ring >= 0 && fstat(kept->ring, &st) == 0) {
		session->ring_dev = st.st_dev;
		session->ring_ino = st.st_ino;
	}
	if (session->pidfd < 0 && session->fd >= 0)
		session->pidfd = open_pidfd(session, hello.start_ns);
	/* Its number may be another's by now: /proc is asked while the pidfd says that it lives. */
	session->process = process_new(&hello, session->pid, session->uid, session->gid,
				       pidfd_ended(session->pidfd) ? NULL : "/proc", &server->users);
	spare_pidfd(session);
	if (session->process == NULL)
		return "out of memory";
	process_keep_hello(session->process, ++server->n_processes, bytes, state.length);
	return NULL;
}

/* A ring that came before another one of the same process. */
static void
restore_order(struct session *session)
{
	struct session *other;

	PEERS_FOREACH(other, &session->server->peers, session->pid)
	if (other != session && other->state == SESSION_READY && other->fd < 0) {
		other->state = SESSION_OLD;
		other->server->n_attached--;
	}
}

bool
session_restore(struct server *server, uint64_t serial, struct session_kept *kept)
{
	struct session *session = calloc(1, sizeof(*session));
	const char *why = "out of memory";

	if (session == NULL) {
		for (int *fd = &kept->socket; fd <= &kept->state; fd++)
			if (*fd >= 0)
				(void)close(*fd);
		return false;
	}
	*session = (struct session){.server = server, .fd = kept->socket, .pidfd = kept->pidfd,
				    .stored = serial, .accepted_ns = clock_ns(CLOCK_MONOTONIC)};
	LIST_INSERT_HEAD(&server->sessions, session, link);
	server->n_sessions++;
	if (session->fd >= 0)
		(void)fcntl(session->fd, F_SETFL, fcntl(session->fd, F_GETFL) | O_NONBLOCK);
	why = session->fd >= 0 && !session_listen(session) ? why : restore_facts(session, kept);
	/* It was let in before; what it has counts for those who come. */
	if (why == NULL && account_enter(server, session) != NULL && session->account == NULL)
		why = "out of memory";
	if (why == NULL)
		(void)greet(session);
	if (kept->ring >= 0)
		(void)close(kept->ring);
	if (kept->state >= 0)
		(void)close(kept->state);
	if (why != NULL) {
		log_warning(server->log, "a session of the daemon before is given up: %s", why);
		session_free(session);
		return false;
	}
	peers_add(&server->peers, session);
	restore_order(session);
	session->process->tree = find_tree(session);
	session->was_unread = true;
	pause_apply(server, session);
	offer_policy(session);
	go_on(session);
	/* Without a pidfd the end of its connection is what we go by. */
	return true;
}

void
session_json(const struct session *session, struct json *json)
{
	const struct process *p = session->process;

	json_object(json);
	json_key(json, "pid");
	json_int(json, session->pid);
	json_key(json, "uid");
	json_uint(json, session->uid);
	json_key(json, "exe");
	json_str(json, p->exe);
	json_key(json, "script");
	json_str(json, p->script);
	json_key(json, "unit");
	json_str(json, p->unit);
	json_key(json, "generation");
	json_uint(json, session->generation);
	json_key(json, "events");
	json_uint(json, session->n_events);
	json_key(json, "denials");
	json_uint(json, session->n_denials);
	json_key(json, "lost");
	json_uint(json, session->n_lost);
	report_losses_json(session->lost_by, json);
	json_key(json, "too_deep");
	json_uint(json, session->drain.ring != NULL ? atomic_load(&session->drain.ring->n_failed) : 0);
	json_key(json, "ack_late");
	json_uint(json, session->n_late);
	json_key(json, "agent");
	json_str(json, session->agent);
	json_key(json, "python");
	json_str(json, p->python);
	json_key(json, "mode");
	json_str(json, session->observes ? "observe" : "enforce");
	json_key(json, "profile");
	json_str(json, conf_profile_of(session->server->conf, p->unit));
	json_key(json, "route");
	json_str(json, route_name(p->route));
	json_key(json, "hook");
	json_str(json, hook_names[session->hook]);
	json_key(json, "since");
	json_time(json, session->since_ns);
	json_object_end(json);
}
