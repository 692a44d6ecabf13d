/*
 * child.c - a program run as child of a background worker.
 *
 * Everything that is delicate about fork() in a server process is here: nothing but async-signal-safe calls happens between
 * fork() and exec(), the server's signal handlers never run in the child, none of its files stay open there, and
 * the child is killed by the kernel when its parent dies.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/fd.h"

#include "child.h"

#define POLL_US 5000

extern char **environ;

/* What a publisher may need of the server's environment, and its own; its settings come by argument. */
static char **
child_environment(char *const added[])
{
	static const char *const kept[] = {"PATH=", "HOME=", "LANG=", "LC_ALL=", "TZ=", "ASAN_OPTIONS=", "UBSAN_OPTIONS="};
	int			added_count = 0;
	char	  **environment;
	int			count = 0;

	while (added[added_count] != NULL)
		added_count++;
	environment = palloc0(sizeof(char *) * (lengthof(kept) + added_count + 1));
	for (int k = 0; k < lengthof(kept); k++)
		for (char **e = environ; *e; e++)
			if (strncmp(*e, kept[k], strlen(kept[k])) == 0)
			{
				environment[count++] = *e;
				break;
			}
	for (int a = 0; a < added_count; a++)
		environment[count++] = added[a];
	return environment;
}

/* Runs in the child. Signals are blocked; does not return. */
static void
become_program(pid_t parent, const char *path, char *const argv[], char *const environment[], int null_fd, int report_fd,
			   int log_fd, int fd_limit)
{
	static const char message[] = "FATAL: could not execute the publisher; see walhouse.publisher_path\n";
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t	none;

	for (int s = 1; s < NSIG; s++)
		(void) sigaction(s, &action, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(126);
	if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		_exit(126);
	if (report_fd == CHILD_REPORT_FD)
		(void) fcntl(report_fd, F_SETFD, 0);
	else if (dup2(report_fd, CHILD_REPORT_FD) < 0)
		_exit(126);
	for (int fd = CHILD_REPORT_FD + 1; fd < fd_limit; fd++)
		(void) close(fd);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	execve(path, argv, environment);
	if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
		_exit(126);
	_exit(127);
}

static void
raise_start_error(const char *what, int pipes[4], int null_fd)
{
	int			saved_errno = errno;

	for (int i = 0; i < 4; i++)
		if (pipes[i] >= 0)
			(void) close(pipes[i]);
	if (null_fd >= 0)
		(void) close(null_fd);
	errno = saved_errno;
	ereport(ERROR,
			(errcode_for_file_access(),
			 errmsg("could not start the publisher: %s: %m", what)));
}

void
child_start(ChildProcess *child, const char *path, char *const argv[], char *const added[])
{
	char	  **environment = child_environment(added);
	int			pipes[4] = {-1, -1, -1, -1};	/* report: read, write; log: read, write */
	int			null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	long		fd_limit = sysconf(_SC_OPEN_MAX);
	pid_t		parent = getpid();
	sigset_t	all;
	sigset_t	saved;
	pid_t		pid;

	if (null_fd < 0)
		raise_start_error("/dev/null", pipes, null_fd);
	if (pipe2(pipes, O_CLOEXEC) != 0 || pipe2(pipes + 2, O_CLOEXEC) != 0)
		raise_start_error("pipe", pipes, null_fd);
	/* The publisher must never block on a supervisor that is busy, nor the supervisor on an empty pipe. */
	for (int i = 0; i < 3; i++)
		if (fcntl(pipes[i], F_SETFL, O_NONBLOCK) != 0)
			raise_start_error("fcntl", pipes, null_fd);
	if (fd_limit < 0 || fd_limit > 65536)
		fd_limit = 65536;
	fflush(stdout);
	fflush(stderr);
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &saved);
	pid = fork();
	if (pid == 0)
		become_program(parent, path, argv, environment, null_fd, pipes[1], pipes[3], (int) fd_limit);
	(void) sigprocmask(SIG_SETMASK, &saved, NULL);
	if (pid < 0)
		raise_start_error("fork", pipes, null_fd);
	(void) close(null_fd);
	(void) close(pipes[1]);
	(void) close(pipes[3]);
	child->pid = pid;
	child->report_fd = pipes[0];
	child->log_fd = pipes[2];
	pfree(environment);
}

void
child_close_pipes(ChildProcess *child)
{
	if (child->report_fd >= 0)
		(void) close(child->report_fd);
	if (child->log_fd >= 0)
		(void) close(child->log_fd);
	child->report_fd = -1;
	child->log_fd = -1;
}

bool
child_has_ended(ChildProcess *child, int *status)
{
	pid_t		pid;

	if (child->pid == 0)
		return false;
	pid = waitpid(child->pid, status, WNOHANG);
	if (pid == 0 || (pid < 0 && errno == EINTR))
		return false;
	if (pid < 0)
		*status = 0;			/* gone, and nobody can say how */
	child->pid = 0;
	return true;
}

void
child_stop(ChildProcess *child, int grace_ms)
{
	int			status;

	if (child->pid == 0)
		return;
	(void) kill(child->pid, SIGTERM);
	for (int waited_us = 0; waited_us < grace_ms * 1000; waited_us += POLL_US)
	{
		if (child_has_ended(child, &status))
			return;
		pg_usleep(POLL_US);
	}
	(void) kill(child->pid, SIGKILL);
	while (!child_has_ended(child, &status))
		pg_usleep(POLL_US);
}
