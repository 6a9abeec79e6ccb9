# Two tasks of one unique are one job: perl_shared.pl HOST PORT FUNCTION.
use strict;
use warnings;
use Gearman::Client;

$| = 1;
my ($host, $port, $function) = @ARGV;
my $client = Gearman::Client->new(job_servers => ["$host:$port"]);

my $tasks = $client->new_task_set;
for (1, 2) {
    my %options = (uniq => "key", on_complete => sub { print "complete ${$_[0]}\n" });
    my ($server, $handle) = split "//", $tasks->add_task($function, "xyz", \%options);
    print "created $handle\n";
}
$tasks->wait;
