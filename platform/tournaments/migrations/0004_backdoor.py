from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tournaments', '0003_certification'),
    ]

    operations = [
        migrations.AlterField(
            model_name='round',
            name='game',
            field=models.CharField(choices=[('evasion', 'Evasion'), ('minimum_norm', 'Minimum-norm'), ('transfer', 'Transfer'), ('poisoning', 'Poisoning'), ('backdoor', 'Backdoor'), ('extraction', 'Extraction'), ('certification', 'Certification')], max_length=16),
        ),
    ]
