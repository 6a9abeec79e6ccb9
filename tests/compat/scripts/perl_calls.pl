# Calls of Perl's client: perl_calls.pl HOST PORT. Some are done by Perl's worker, some by ours.
use strict;
use warnings;
use Gearman::Client;

my ($host, $port) = @ARGV;
my $client = Gearman::Client->new(job_servers => ["$host:$port"]);

print "do_task: ${ $client->do_task('gearpy.reverse', 'abc') }\n";
my %options = (uniq => "key", priority => "high");
print "do_task with a unique: ${ $client->do_task('gearpy.unique', 'x', \%options) }\n";
my $failed = $client->do_task("perl.fail", "x");
print "do_task that fails: ", defined $failed ? "answered" : "undef", "\n";
print "do_task of an empty result: '${ $client->do_task('perl.empty', 'x') }'\n";

# A failed task is tried again as often as it asks for.
my $tries = 0;
$client->do_task("perl.fail", "x", { retry_count => 2, on_retry => sub { $tries++ } });
print "retries: $tries\n";

# A set of tasks, done side by side.
my %ended;
my $tasks = $client->new_task_set;
for my $function ("gearpy.reverse", "perl.reverse", "perl.fail") {
    $tasks->add_task(
        $function, "set",
        {   on_complete => sub { $ended{$function} = "complete ${$_[0]}" },
            on_fail     => sub { $ended{$function} = "fail" },
        }
    );
}
$tasks->wait;
print "set: $_ $ended{$_}\n" for sort keys %ended;

# The worker goes on after an exception, of which a client that did not ask for it hears a failure.
my $raised = "nothing";
$client->do_task("perl.raise", "x", { on_fail => sub { $raised = "fail" } });
print "exception: $raised, then ${ $client->do_task('perl.reverse', 'still there') }\n";

my $job = $client->dispatch_background("later", "x", { uniq => "-" });
print "dispatch_background: ", $job =~ m{^$host:$port//H:} ? "a handle" : $job, "\n";
my $status = $client->get_job_server_status->{"$host:$port"}{later};
print "get_job_server_status: ", join(" ", map {"$_=$status->{$_}"} sort keys %$status), "\n";
