"""What is broken on purpose, promise by promise; see `docs/how-to/run-the-tests.md`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FATE = "The runner never decides a job's fate"
OUTLIVES = "The daemon outlives every service"
DELIVERED = "What was produced is delivered"
LEFTOVERS = "Nothing of a job outlives it"
ENDS_WITH_DAEMON = "The runner does not outlive the daemon"
PLAIN = "Nothing untrusted is unpickled"
ONE_OWNER = "Of two workers that both believe"
TWICE = "A job that is delivered twice"
PARKED = "A job at which the API fails alone"
LOST_WORKER = "No job waits for a worker"
DEADLINES = "Supervision holds every deadline"
BELIEVED = "What a job says is believed"
VOICE = "Nobody but the worker speaks"
USERS = "Where the worker may change users"
SECRETS = "No secret of the worker"
NUMBERS = "No two jobs draw the same random numbers"
FOLDERS = "What another user could have changed"
TOO_OLD = "No job is taken of a platform"
WOKEN = "Of many idle workers a job wakes few"
BOUNDS = "An answer of a service has a bound"
VERDICTS = "A verdict on a task graph"

ATTEMPT_MODEL = "tests/unit/daemon/job/test_attempt_model.py"
CLAIM = "tests/unit/daemon/job/test_claim.py"
OUTBOX = "tests/unit/daemon/outbox/test_outbox.py"
QUEUE = "tests/unit/daemon/outbox/test_delivery_queue.py"
JOURNAL = "tests/unit/daemon/outbox/test_journal.py"
EVENTS = "tests/unit/daemon/job/test_runner_events.py"
VERDICT = "tests/unit/supervision/test_verdict.py"
SUPERVISOR = "tests/unit/supervision/test_supervisor.py"
ASSIGNMENT = "tests/unit/supervision/job_users/test_assignment.py"
RANDOMNESS = "tests/unit/runner/forkserver/test_randomness.py"
ANSWERS = "tests/hostile/test_answers_of_services.py"
PAYLOAD = "tests/unit/broker/rq/test_payload.py"
MESSAGES = "tests/unit/supervision/test_hostile_messages.py"
STOP = "tests/unit/common/test_stop.py"
HANDLER = "tests/integration/test_handler.py"
LEASES = "tests/integration/test_leases.py"
RECOVERY = "tests/integration/test_recovery.py"
WATCHERS = "tests/integration/test_queue_watchers.py"
LAUNCHER = "tests/integration/test_launcher.py"

MUTANTS = (
    # -- one final status, its cause in words, a closed run
    Mutant(
        name="an exit code of 0 is a finished job",
        promise=FATE,
        module="supervision.verdict",
        function="judge",
        old='return Outcome(fate="failed", reason=_cause(report), mlflow="FAILED")',
        new="return Outcome(\n"
        '        fate="failed" if report.exit.code else "finished",\n'
        "        reason=_cause(report),\n"
        '        mlflow="FAILED",\n'
        "    )",
        killers=(f"{VERDICT}::test_a_runner_without_a_last_word_failed_its_job",),
    ),
    Mutant(
        name="whoever says that its run is closed is believed",
        promise=FATE,
        module="daemon.job.attempt",
        function="Attempt._close_open_run",
        old="closed = said and report.exit.code == 0",
        new="closed = said",
        killers=("tests/unit/daemon/job/test_attempt.py",),
    ),
    Mutant(
        name="a bug of the worker leaves a job without an end",
        promise=FATE,
        module="daemon.job.attempt",
        function="Attempt._watched",
        old="except Exception as error:  # a job without an end would be stuck",
        new="except ZeroDivisionError as error:",
        killers=(ATTEMPT_MODEL,),
    ),
    Mutant(
        name="a job ends without a word",
        promise=FATE,
        module="daemon.job.completion",
        function="Completion._say_end",
        old='self.job_log.say("ERROR", f"the job {word}: {outcome.reason}")',
        new="del word",
        killers=(ATTEMPT_MODEL,),
    ),
    # -- outlives every service
    Mutant(
        name="pauses do not grow",
        promise=OUTLIVES,
        module="common.network.backoff",
        function="backoff",
        old="step = min(step * 2, MAX_DELAY)",
        new="step = min(step, MAX_DELAY)",
        killers=("tests/unit/common/network/test_backoff.py",),
    ),
    Mutant(
        name="the main loop gives up on a service",
        promise=OUTLIVES,
        module="daemon.service_calls",
        function="_ServiceCalls._call",
        old="seconds=FOREVER,",
        new="seconds=0.0,",
        killers=("tests/unit/daemon/test_service_calls.py",),
    ),
    Mutant(
        name="a job is taken while the API is away",
        promise=OUTLIVES,
        module="daemon.main_loop",
        function="MainLoop._next",
        old="if self._calls.wait_for(self._reach, API) is STOPPED:",
        new="if self._wakeup.stopping:",
        killers=("tests/unit/daemon/test_main_loop.py",),
    ),
    Mutant(
        name="a suspended worker takes a job",
        promise=OUTLIVES,
        module="daemon.main_loop",
        function="MainLoop._next",
        old="if suspended:",
        new="if suspended is None:",
        killers=("tests/unit/daemon/test_main_loop.py",),
    ),
    # -- delivered
    Mutant(
        name="a final status is not written to Redis",
        promise=DELIVERED,
        module="daemon.job.completion",
        function="Completion.conclude",
        old="partial(self._context.leases.record_pending_status, pending, self._stop)",
        new="lambda: None",
        killers=("tests/unit/daemon/job/test_another_workers_end.py",),
    ),
    Mutant(
        name="a pending status stays in a worker's memory",
        promise=DELIVERED,
        module="broker.leases",
        function="_END",
        old="redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])\n",
        new="",
        killers=(f"{LEASES}::test_pending",),
    ),
    Mutant(
        name="the end of a lost worker's job is not looked for in Redis",
        promise=DELIVERED,
        module="daemon.job.claim",
        function="_Claiming._interrupted",
        old="if pending is not None:",
        new="if pending is None and not pending:",
        killers=(CLAIM,),
    ),
    Mutant(
        name="the end is in the journal before the rest is",
        promise=DELIVERED,
        module="daemon.outbox.journal",
        function="Journal.record_final_status",
        old="        self.flush()\n",
        new="",
        killers=(f"{JOURNAL}::test_an_end_is_kept_after_all_before_it",),
    ),
    Mutant(
        name="what was not acknowledged leaves the outbox",
        promise=DELIVERED,
        module="daemon.outbox.delivery_queue",
        function="DeliveryQueue._back_off",
        old="            self._requeue(entries)\n",
        new="            self._finish(entries)\n",
        killers=(QUEUE,),
    ),
    Mutant(
        name="the status goes before the log",
        promise=DELIVERED,
        module="daemon.outbox.outbox",
        function="Outbox.finish",
        old="if not self._log.drain(timeout):",
        new="if self._log.drain(0.0) is None:",
        killers=(f"{OUTBOX}::test_status_is_last",),
    ),
    Mutant(
        name="what may have arrived is sent again unseen",
        promise=DELIVERED,
        module="daemon.outbox.delivery_queue",
        function="DeliveryQueue._deliver",
        old="if self._maybe_delivered:",
        new="if self._maybe_delivered is None:",
        killers=(f"{OUTBOX}::test_every_request_fails_once",),
    ),
    # -- nothing of a job outlives it, or the daemon
    Mutant(
        name="orphans are left alone",
        promise=LEFTOVERS,
        module="common.processes.orphans",
        function="_kill_while_there",
        old="os.kill(pid, signal.SIGKILL)",
        new="os.kill(pid, 0)",
        killers=("tests/unit/common/processes/test_orphans.py",),
    ),
    Mutant(
        name="a runner's group is not killed with it",
        promise=LEFTOVERS,
        module="runner.forkserver.server",
        function="Forkserver._reap_children",
        old="end_rest=self._end_rest if objects else None",
        new="end_rest=None",
        killers=(f"{LAUNCHER}::test_nothing_that_a_job_started_outlives_it",),
    ),
    Mutant(
        name="runners go on when the daemon is gone",
        promise=ENDS_WITH_DAEMON,
        module="runner.forkserver.server",
        function="Forkserver.serve",
        old="self._signal_all(signal.SIGKILL)",
        new="self._signal_all(signal.SIGCONT)",
        killers=(f"{LAUNCHER}::test_runners_do_not_outlive_a_killed_daemon",),
    ),
    # -- nothing is unpickled
    Mutant(
        name="an entry may call any function",
        promise=PLAIN,
        module="broker.rq.payload",
        function="read_request",
        old="if function != FUNCTION:",
        new="if not function:",
        killers=(PAYLOAD,),
    ),
    Mutant(
        name="entries are read by Python's unpickler",
        promise=PLAIN,
        module="broker.rq.payload",
        function="PlainSerializer.loads",
        old="return plain_pickle.loads(data)",
        new="return pickle.loads(data)",
        killers=(PAYLOAD,),
    ),
    # -- one of two owners is heard
    Mutant(
        name="a lease that ran out counts on",
        promise=ONE_OWNER,
        module="common.stop",
        function="JobStop.superseded",
        old="if self._superseded is None and lease_clock() >= self._owned_until:",
        new="if self._superseded is None and self._owned_until < 0:",
        killers=(STOP,),
    ),
    Mutant(
        name="a lost lease can be had again",
        promise=ONE_OWNER,
        module="common.stop",
        function="JobStop.own_until",
        old="if self.superseded is None:",
        new="if self._superseded is None:",
        killers=(STOP,),
    ),
    Mutant(
        name="a job is not stopped at the end of its lease",
        promise=ONE_OWNER,
        module="daemon.job.heartbeat",
        function="Heartbeat._guard",
        old="held.stop.request(LEASE_LOST)",
        new="del held",
        killers=("tests/unit/daemon/job/test_heartbeat.py",),
    ),
    Mutant(
        name="a heartbeat does not see who has the job",
        promise=ONE_OWNER,
        module="daemon.job.heartbeat",
        function="Heartbeat.beat",
        old="held.stop.request(taken_over(other))",
        new="del other",
        killers=("tests/unit/daemon/job/test_heartbeat.py",),
    ),
    Mutant(
        name="a queue sends on for who has lost the job",
        promise=ONE_OWNER,
        module="daemon.outbox.delivery_queue",
        function="DeliveryQueue._is_over",
        old="return self._closing or self._stop.superseded is not None",
        new="return self._closing",
        killers=(f"{QUEUE}::test_a_queue_of_who_has_lost_the_job",),
    ),
    Mutant(
        name="a final status is set by who has lost the job",
        promise=ONE_OWNER,
        module="daemon.outbox.outbox",
        function="Outbox._set_status",
        old="if self._stop.superseded is not None:",
        new="if self._stop.superseded is self:",
        killers=(f"{OUTBOX}::test_a_status_of_who_has_lost_the_job",),
    ),
    Mutant(
        name="the end of a job is written without its lease",
        promise=ONE_OWNER,
        module="broker.leases",
        function="_END",
        old="    _TAKE\n    + ",
        new="    _READ_LEASE\n    + ",
        killers=(f"{LEASES}::test_pending_of_who_has_lost_the_job",),
    ),
    Mutant(
        name="who has the job now is not heard at its end",
        promise=ONE_OWNER,
        module="daemon.job.completion",
        function="Completion.conclude",
        old="self._stop.request(taken_over(holder))",
        new="del holder",
        killers=("tests/unit/daemon/job/test_another_workers_end.py",),
    ),
    Mutant(
        name="a job is claimed by who has lost it",
        promise=ONE_OWNER,
        module="daemon.job.claim",
        function="_Claiming._put",
        old="if self.stop.superseded is not None:",
        new="if self.stop.superseded is self:",
        killers=(f"{CLAIM}::test_lost_while_it_is_claimed",),
    ),
    # -- delivered twice
    Mutant(
        name="a lease that somebody has is taken",
        promise=TWICE,
        module="broker.leases",
        function="_TAKE",
        old="if held and held ~= ARGV[1] and held ~= ARGV[3] then return held end\n",
        new="",
        killers=(f"{LEASES}::test_one_of_many",),
    ),
    Mutant(
        name="a second delivery ignores the lease",
        promise=TWICE,
        module="daemon.job.handler",
        function="_Handling.run",
        old="if holder is not None or self._runs_elsewhere():",
        new="if self._runs_elsewhere():",
        killers=(f"{HANDLER}::test_a_job_that_another_worker_has_is_left_to_it",),
    ),
    Mutant(
        name="a job that the platform's own worker runs is begun",
        promise=TWICE,
        module="daemon.job.handler",
        function="_Handling.run",
        old="if holder is not None or self._runs_elsewhere():",
        new="if holder is not None:",
        killers=(f"{HANDLER}::test_a_job_that_a_worker_without_leases_has",),
    ),
    Mutant(
        name="an attempt counts twice when its answer was lost",
        promise=TWICE,
        module="broker.leases",
        function="_COUNT",
        old="redis.call('GET', KEYS[2]) == ARGV[1]",
        new="redis.call('GET', KEYS[2]) == ''",
        killers=(f"{LEASES}::test_said_again_after_a_lost_answer",),
    ),
    # -- parked
    Mutant(
        name="a job at which the API fails holds up the next",
        promise=PARKED,
        module="daemon.outbox.outbox",
        function="Outbox._note_blocked",
        old="if fails_here_only(error, self._api.ping) and self._may_park():",
        new="if self._may_park() is None:",
        killers=(f"{OUTBOX}::test_a_result_at_which_the_api_fails",),
    ),
    Mutant(
        name="a parked job is tried at once, again and again",
        promise=PARKED,
        module="daemon.recovery.sweep",
        function="Recovery._sweep_rq",
        old="elif parked.left <= 0:",
        new="else:",
        killers=(f"{RECOVERY}::test_parked",),
    ),
    Mutant(
        name="the pauses of a parked job do not grow",
        promise=PARKED,
        module="broker.parking",
        function="_PARK",
        old="entry.tries = entry.tries + 1\n",
        new="",
        killers=(f"{LEASES}::test_parked",),
    ),
    Mutant(
        name="what cannot be delivered is never given up",
        promise=PARKED,
        module="daemon.job.attempt",
        function="Attempt.run",
        old="if waited > self._context.settings.delivery_deadline:",
        new="if waited < 0:",
        killers=("tests/unit/daemon/job/test_another_workers_end.py",),
    ),
    # -- no job waits for who is gone
    Mutant(
        name="a job whose worker is dead is not put back",
        promise=LOST_WORKER,
        module="daemon.recovery.sweep",
        function="Recovery._sweep_rq",
        old='self._requeue(name, queue, "its worker is gone")',
        new="continue",
        killers=(f"{RECOVERY}::test_started_by_a_dead_process",),
    ),
    Mutant(
        name="a job that was taken and never begun stays there",
        promise=LOST_WORKER,
        module="daemon.recovery.sweep",
        function="Recovery._sweep_rq",
        old='self._requeue(name, queue, "it was taken and never begun")',
        new="continue",
        killers=(f"{RECOVERY}::test_taken_and_never_begun",),
    ),
    Mutant(
        name="a job that Redis forgot stays queued",
        promise=LOST_WORKER,
        module="daemon.recovery.sweep",
        function="Recovery._sweep_api",
        old='self._registries.enqueue(_request(job), queue, job["timeout"])',
        new="continue",
        killers=(f"{RECOVERY}::test_queued_and_lost",),
    ),
    Mutant(
        name="a job is begun again however often its workers are lost",
        promise=LOST_WORKER,
        module="daemon.job.claim",
        function="_Claiming._interrupted",
        old="request.attempt, has_run",
        new="1, has_run",
        killers=(CLAIM,),
    ),
    # -- deadlines
    Mutant(
        name="a kill is put off",
        promise=DEADLINES,
        module="supervision.supervisor",
        function="Supervisor._kill_by",
        old="self._kill_at = at if self._kill_at is None else min(at, self._kill_at)",
        new="self._kill_at = at",
        killers=(f"{SUPERVISOR}::test_a_stop_after_the_last_word_puts_nothing_off",),
    ),
    Mutant(
        name="a runner that was told to stop is never killed",
        promise=DEADLINES,
        module="supervision.supervisor",
        function="Supervisor._enforce_deadlines",
        old="            self._kill_by(now + self._grace_periods.grace)\n",
        new="",
        killers=(f"{SUPERVISOR}::test_a_deaf_runner_is_killed_after_the_grace_period",),
    ),
    Mutant(
        name="a runner that cannot be killed is waited for",
        promise=DEADLINES,
        module="supervision.supervisor",
        function="Supervisor._enforce_deadlines",
        old="            self._abandon()\n",
        new="            self._kill(now)\n",
        killers=(f"{SUPERVISOR}::test_a_runner_that_cannot_be_killed_is_left",),
    ),
    # -- what is believed, and how much of it
    Mutant(
        name="a job may end twice",
        promise=BELIEVED,
        module="supervision.channel.message_limits",
        function="MessageChecks.checked",
        old="self._is_over = True",
        new="self._is_over = False",
        killers=(f"{MESSAGES}::test_a_job_ends_once",),
    ),
    Mutant(
        name="metrics have no limit",
        promise=BELIEVED,
        module="supervision.channel.message_limits",
        function="MessageChecks._check_metric",
        old="if self._metrics > MAX_METRICS:",
        new="if self._metrics < 0:",
        killers=(f"{MESSAGES}::test_limits",),
    ),
    Mutant(
        name="the elements of a batch have no limit",
        promise=BELIEVED,
        module="supervision.channel.message_limits",
        function="MessageChecks._check_claim",
        old="if self._batch_text > MAX_BATCH_TEXT:",
        new="if self._batch_text < 0:",
        killers=(f"{MESSAGES}::test_limits",),
    ),
    Mutant(
        name="forged messages are ignored for ever",
        promise=BELIEVED,
        module="supervision.channel.message_limits",
        function="MessageChecks.count_refusal",
        old="if self._refusals > MAX_REFUSALS:",
        new="if self._refusals < 0:",
        killers=(f"{MESSAGES}::test_limits",),
    ),
    Mutant(
        name="a job registers artifacts of others",
        promise=BELIEVED,
        module="daemon.job.output_artifacts",
        function="OutputArtifacts.labelled",
        old="if not self._is_of_run(artifact.uri):",
        new="if not artifact.uri:",
        killers=(EVENTS,),
    ),
    Mutant(
        name="integers of any size are read",
        promise=BELIEVED,
        module="protocol.flat_json",
        function="_value",
        old="if abs(integer) > MAX_INTEGER:",
        new="if integer is None:",
        killers=("tests/unit/protocol/test_flat_json.py",),
    ),
    # -- the worker's voice
    Mutant(
        name="a job's logger may be called like the worker's",
        promise=VOICE,
        module="daemon.outbox.job_log",
        function="JobLog.put",
        old="replace(record, logger=name_of_job(record.logger))",
        new="record",
        killers=(EVENTS,),
    ),
    Mutant(
        name="the worker says of a step whatever the job says",
        promise=VOICE,
        module="supervision.channel.step_records",
        function="StepRecords.started",
        old="if message.step in self._begun or not self._is_real(message):",
        new="if message.step in self._begun:",
        killers=(EVENTS,),
    ),
    Mutant(
        name="a line of the worker's has further lines",
        promise=VOICE,
        module="daemon.outbox.job_log",
        function="JobLog.put_own",
        old="replace(record, message=spelt_out(record.message))",
        new="record",
        killers=(EVENTS,),
    ),
    # -- users
    Mutant(
        name="a job's user may gain rights",
        promise=USERS,
        module="common.processes.job_user",
        function="become",
        old="if not prctl(PR_SET_NO_NEW_PRIVS, 1):",
        new="if not PR_SET_NO_NEW_PRIVS:",
        killers=("tests/unit/common/processes/test_job_user.py",),
    ),
    Mutant(
        name="two fork servers have the same user",
        promise=USERS,
        module="supervision.job_users.assignment",
        function="JobUsers._lock",
        old="fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        new="fcntl.flock(file, fcntl.LOCK_SH)",
        killers=(f"{ASSIGNMENT}::test_no_two_have_the_same_user",),
    ),
    # -- secrets
    Mutant(
        name="secrets are shown as they are",
        promise=SECRETS,
        module="common.text.masking",
        function="Mask.__call__",
        old="text = text.replace(secret, HIDDEN)",
        new="text = text.replace(secret, secret)",
        killers=("tests/unit/common/text/test_masking.py",),
    ),
    Mutant(
        name="secrets in base64 are shown",
        promise=SECRETS,
        module="common.text.masking",
        function="_spellings",
        old=" | _in_base64(secret)",
        new="",
        killers=("tests/unit/common/text/test_masking.py",),
    ),
    Mutant(
        name="the log of a job is not masked",
        promise=SECRETS,
        module="daemon.outbox.job_log",
        function="JobLog._add",
        old="self._mask(record.logger), self._mask(record.message)",
        new="record.logger, record.message",
        killers=(EVENTS,),
    ),
    Mutant(
        name="passwords in addresses are no secrets",
        promise=SECRETS,
        module="credentials",
        function="secrets_in",
        old="found |= secrets_in_text(value)",
        new="pass",
        killers=("tests/unit/test_credentials.py",),
    ),
    # -- numbers, folders, answers
    Mutant(
        name="forks share the random numbers of Python",
        promise=NUMBERS,
        module="runner.forkserver.randomness",
        function="_random",
        old="module.seed(seed)",
        new="del module, seed",
        killers=(f"{RANDOMNESS}::test_the_seed_is_what_was_drawn_from",),
    ),
    Mutant(
        name="generators of libraries without a rule are shared",
        promise=NUMBERS,
        module="runner.forkserver.randomness",
        function="shared",
        old="_without_a_rule.append(generator)",
        new="del generator",
        killers=(f"{RANDOMNESS}::test_a_library_without_a_rule",),
    ),
    Mutant(
        name="folders of others are believed",
        promise=FOLDERS,
        module="common.files.trusted_folder",
        function="_check_own",
        old="if found.st_uid not in {_ROOT, os.geteuid()}:",
        new="if found.st_uid < 0:",
        killers=("tests/unit/common/files/test_trusted_folder.py",),
    ),
    Mutant(
        name="folders in which others may write are believed",
        promise=FOLDERS,
        module="common.files.trusted_folder",
        function="_open_to_others",
        old="if found.st_mode & stat.S_IWOTH:",
        new="if found.st_mode < 0:",
        killers=("tests/unit/common/files/test_trusted_folder.py",),
    ),
    Mutant(
        name="links of others are followed",
        promise=FOLDERS,
        module="common.files.trusted_folder",
        function="check",
        old="if found.st_uid not in {_ROOT, os.geteuid()}:",
        new="if found.st_uid < 0:",
        killers=("tests/unit/common/files/test_trusted_folder.py",),
    ),
    Mutant(
        name="an answer may be of any size",
        promise=BOUNDS,
        module="common.network.bounded_http",
        function="_up_to",
        old="if seen > limit:",
        new="if seen < limit < seen:",
        killers=(f"{ANSWERS}::test_an_answer_at_the_limit",),
    ),
    Mutant(
        name="an answer may take for ever",
        promise=BOUNDS,
        module="common.network.bounded_http",
        function="PacedSocket.readinto",
        old="if left <= 0:",
        new="if left is None:",
        killers=(f"{ANSWERS}::test_an_answer_that_drips",),
    ),
    # -- platforms
    Mutant(
        name="the version of a platform is not looked at",
        promise=TOO_OLD,
        module="daemon.main_loop",
        function="MainLoop._reach",
        old="self._api.check_platform()",
        new="pass",
        killers=("tests/unit/daemon/test_main_loop.py",),
    ),
    # -- who is woken
    Mutant(
        name="every idle worker watches its queue",
        promise=WOKEN,
        module="broker.rq.watch_places",
        function="_LOOK",
        old="return {place and 1 or 0,",
        new="return {1,",
        killers=(f"{WATCHERS}::test_one_entry_wakes_few_of_many",),
    ),
    Mutant(
        name="who has taken a job calls nobody",
        promise=WOKEN,
        module="broker.rq.watch_places",
        function="WatchPlaces.give_up",
        old="            self.call(1)\n",
        new="            pass\n",
        killers=(f"{WATCHERS}::test_one_entry_wakes_few_of_many",),
    ),
    Mutant(
        name="who is not called never looks",
        promise=WOKEN,
        module="broker.rq.queue_watcher",
        function="QueueWatcher._work_with",
        old="elif entries and (is_called or was_there):",
        new="elif entries and is_called:",
        killers=(f"{WATCHERS}::test_workers_that_watch_and_are_lost",),
    ),
    # -- task graphs
    Mutant(
        name="names are not checked",
        promise=VERDICTS,
        module="engine.validation",
        function="_check_meaning",
        old="    check_names(entrypoint, report)\n",
        new="",
        killers=("tests/unit/engine/checks/test_names.py",),
    ),
    Mutant(
        name="arguments are not compared with types",
        promise=VERDICTS,
        module="engine.validation",
        function="_check_meaning",
        old="    check_arguments(scope, types, report)\n",
        new="",
        killers=("tests/unit/engine/checks/test_arguments.py",),
    ),
)
