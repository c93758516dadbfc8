
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tournaments', '0001_initial'),
    ]

    operations = [
        migrations.AlterField(
            model_name='entry',
            name='player',
            field=models.CharField(choices=[('defense', 'Defense'), ('attack', 'Attack'), ('learner', 'Learner'), ('poisoner', 'Poisoner'), ('thief', 'Thief')], max_length=8),
        ),
        migrations.AlterField(
            model_name='round',
            name='game',
            field=models.CharField(choices=[('evasion', 'Evasion'), ('minimum_norm', 'Minimum-norm'), ('transfer', 'Transfer'), ('poisoning', 'Poisoning'), ('extraction', 'Extraction')], max_length=16),
        ),
        migrations.AlterField(
            model_name='verdict',
            name='fault_code',
            field=models.CharField(blank=True, choices=[('load_failed', 'load_failed'), ('crashed', 'crashed'), ('wall_time', 'wall_time'), ('cpu_time', 'cpu_time'), ('out_of_memory', 'out_of_memory'), ('query_latency', 'query_latency'), ('wrong_shape', 'wrong_shape'), ('not_finite', 'not_finite'), ('out_of_range', 'out_of_range'), ('protocol', 'protocol'), ('queries_exceeded', 'queries_exceeded'), ('rows_depend_on_each_other', 'rows_depend_on_each_other'), ('not_deterministic', 'not_deterministic'), ('poison_budget', 'poison_budget'), ('bad_surrogate', 'bad_surrogate'), ('no_answer', 'no_answer')], max_length=40),
        ),
    ]
